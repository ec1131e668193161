package model

import (
	"net/netip"
	"time"

	"windrose.dev/windrose/internal/reason"
)

// Parts are the three parts of a Snapshot and the origins of its rules.
type Parts struct {
	Config    Config      `json:"config"`
	Endpoints []Endpoints `json:"endpoints,omitempty"`
	Secrets   []Secret    `json:"secrets,omitempty"`
	// Origins is keyed by rule id. It does not take part in hashes.
	Origins map[string]reason.Origin `json:"origins,omitempty"`
}

// Snapshot is a frozen Parts. It is read-only and may be shared.
type Snapshot struct {
	Parts
	Hashes
	pieces pieces
}

// Config says what is served and how, without endpoints and key material.
type Config struct {
	Listeners []Listener `json:"listeners,omitempty"`
	Hosts     []Host     `json:"hosts,omitempty"`
	Services  []Service  `json:"services,omitempty"`
}

// Protocol is what a listener speaks.
type Protocol uint8

// The listener protocols.
const (
	HTTP Protocol = iota
	HTTPS
)

// Listener is a port that clients connect to.
type Listener struct {
	Port     uint16   `cbor:"1,keyasint" json:"port"`
	Protocol Protocol `cbor:"2,keyasint,omitempty" json:"protocol,omitempty"`
	// Certificates are chosen by server name (RFC 6066): the exact host, then
	// the wildcard of its parent, then "*". With no match the handshake is
	// refused.
	Certificates []Certificate `cbor:"3,keyasint,omitempty" json:"certificates,omitempty"`
}

// Certificate binds a server name to a secret.
type Certificate struct {
	// Host is a DNS name, "*." and a DNS name, or "*" for any.
	Host string `cbor:"1,keyasint" json:"host"`
	// Secret is the name of a Secret of this Snapshot.
	Secret string `cbor:"2,keyasint" json:"secret"`
}

// Host is a virtual host: what one host name means on some listeners.
type Host struct {
	// Name is a lower-case DNS name; or "*." and a DNS name, which matches one
	// more label; or "*" for every host that has no entry of its own.
	Name string `cbor:"1,keyasint" json:"name"`
	// Ports names the listeners that serve this host, ascending.
	Ports []uint16 `cbor:"2,keyasint,omitempty" json:"ports,omitempty"`
	// Blocks are tried in order, one a dialect; the first that has a rule for
	// the request decides.
	Blocks []Block `cbor:"3,keyasint,omitempty" json:"blocks,omitempty"`
}

// Order is how a Block chooses among its rules.
type Order uint8

const (
	// BySpecificity: exact before prefix before any, longer before shorter.
	BySpecificity Order = iota
	// FirstMatch: as listed.
	FirstMatch
)

// Block holds the rules of one dialect for one host.
type Block struct {
	Dialect string `cbor:"1,keyasint" json:"dialect"`
	Order   Order  `cbor:"2,keyasint,omitempty" json:"order,omitempty"`
	// MergeSlashes matches a path as if runs of slashes were one slash.
	MergeSlashes bool `cbor:"3,keyasint,omitempty" json:"mergeSlashes,omitempty"`
	// DecodeReserved matches a path as if nothing that it may hold as it is were
	// encoded, slashes among it, as nginx does and as backends read it.
	DecodeReserved bool   `cbor:"5,keyasint,omitempty" json:"decodeReserved,omitempty"`
	Rules          []Rule `cbor:"4,keyasint,omitempty" json:"rules,omitempty"`
}

// PathKind is how a PathMatch compares.
type PathKind uint8

const (
	// AnyPath matches everything, after all others.
	AnyPath PathKind = iota
	// ExactPath matches the same path, byte by byte.
	ExactPath
	// PrefixPath matches the path and those below it, by whole elements: /a
	// matches /a, /a/ and /a/b, and not /ab. It has no trailing slash, but for
	// the root.
	PrefixPath
	// RegexPath matches by an RE2 expression that brings its own anchors.
	RegexPath
)

// PathMatch is compared with the canonical path of a request.
type PathMatch struct {
	Kind  PathKind `cbor:"1,keyasint,omitempty" json:"kind,omitempty"`
	Value string   `cbor:"2,keyasint,omitempty" json:"value,omitempty"`
}

// Rule says what happens to the requests that it matches. Exactly one of
// Forward and Respond is set.
type Rule struct {
	// ID is stable over rebuilds and unique in a Snapshot: dialect, object and
	// index, such as ingress/shop/web/0/1.
	ID   string    `cbor:"1,keyasint" json:"id"`
	Path PathMatch `cbor:"2,keyasint,omitempty" json:"path,omitempty"`

	// What applies on the way in, in this order; nil is none.
	TLSRedirect *TLSRedirect `cbor:"3,keyasint,omitempty" json:"tlsRedirect,omitempty"`
	CORS        *CORS        `cbor:"4,keyasint,omitempty" json:"cors,omitempty"`
	Rewrite     *Rewrite     `cbor:"5,keyasint,omitempty" json:"rewrite,omitempty"`
	// MaxBody bounds the request's body in bytes; 0 is unbounded.
	MaxBody int64 `cbor:"6,keyasint,omitempty" json:"maxBody,omitempty"`

	Forward *Forward `cbor:"7,keyasint,omitempty" json:"forward,omitempty"`
	Respond *Respond `cbor:"8,keyasint,omitempty" json:"respond,omitempty"`
}

// TLSRedirect answers plain-text requests with the same URL under https.
type TLSRedirect struct {
	Status int `cbor:"1,keyasint" json:"status"`
	// Port is the listener that the client is sent to.
	Port uint16 `cbor:"2,keyasint" json:"port"`
	// Except lists path prefixes, by elements, that are served in plain text.
	Except []string `cbor:"3,keyasint,omitempty" json:"except,omitempty"`
}

// CORS answers preflight requests and adds the response headers of the Fetch
// standard.
type CORS struct {
	// AllowOrigins are origins, with one wildcard label at most
	// (https://*.example.com), or a lone "*" for any.
	AllowOrigins  []string `cbor:"1,keyasint" json:"allowOrigins"`
	AllowMethods  string   `cbor:"2,keyasint,omitempty" json:"allowMethods,omitempty"`
	AllowHeaders  string   `cbor:"3,keyasint,omitempty" json:"allowHeaders,omitempty"`
	ExposeHeaders string   `cbor:"4,keyasint,omitempty" json:"exposeHeaders,omitempty"`
	Credentials   bool     `cbor:"5,keyasint,omitempty" json:"credentials,omitempty"`
	// MaxAge is in seconds.
	MaxAge int `cbor:"6,keyasint,omitempty" json:"maxAge,omitempty"`
}

// Rewrite replaces the path. Pattern is an RE2 expression, found anywhere in
// the canonical path; Target is the whole new path, in which $1 to $9 stand
// for what the groups matched. A query in Target goes before the request's.
type Rewrite struct {
	Pattern string `cbor:"1,keyasint" json:"pattern"`
	Target  string `cbor:"2,keyasint" json:"target"`
}

// Forward sends the request to one of Backends, chosen by weight.
type Forward struct {
	Backends []Backend `cbor:"1,keyasint" json:"backends"`
	// ConnectTimeout bounds the making of a connection; 0 is 5 s.
	ConnectTimeout time.Duration `cbor:"2,keyasint,omitempty" json:"connectTimeout,omitempty"`
	// ReadTimeout bounds the time between two reads of the answer; 0 is 60 s.
	ReadTimeout time.Duration `cbor:"3,keyasint,omitempty" json:"readTimeout,omitempty"`
	// SendTimeout bounds the time between two writes of the request; 0 is 60 s.
	SendTimeout time.Duration `cbor:"4,keyasint,omitempty" json:"sendTimeout,omitempty"`
}

// The defaults of Forward's timeouts, which are nginx's.
const (
	DefaultConnectTimeout = 5 * time.Second
	DefaultReadTimeout    = 60 * time.Second
	DefaultSendTimeout    = 60 * time.Second
)

// Backend is a Service and its share.
type Backend struct {
	// Service is the ID of a Service of this Snapshot.
	Service string `cbor:"1,keyasint" json:"service"`
	// Weight is relative to the other backends of the rule; 0 gets nothing.
	Weight uint32 `cbor:"2,keyasint" json:"weight"`
}

// Respond answers in the backend's place.
type Respond struct {
	Status  int            `cbor:"1,keyasint" json:"status"`
	Outcome reason.Outcome `cbor:"2,keyasint" json:"outcome"`
	// Why is shown by explain and in the log, never to clients.
	Why string `cbor:"3,keyasint,omitempty" json:"why,omitempty"`
}

// Balance is how a Service's endpoint is chosen.
type Balance uint8

const (
	// RoundRobin takes the endpoints in turn.
	RoundRobin Balance = iota
	// LeastRequest takes the less busy of two random endpoints.
	LeastRequest
)

// Service is one port of a Service.
type Service struct {
	// ID is namespace/name:port.
	ID      string  `cbor:"1,keyasint" json:"id"`
	Balance Balance `cbor:"2,keyasint,omitempty" json:"balance,omitempty"`
}

// Endpoints are those of one Service.
type Endpoints struct {
	Service   string     `cbor:"1,keyasint" json:"service"`
	Endpoints []Endpoint `cbor:"2,keyasint,omitempty" json:"endpoints,omitempty"`
}

// Endpoint is one address that serves.
type Endpoint struct {
	Addr netip.AddrPort `cbor:"1,keyasint" json:"addr"`
	// Pod is namespace/name, or empty.
	Pod string `cbor:"2,keyasint,omitempty" json:"pod,omitempty"`
	// Terminating endpoints still serve, and are used when no other is left.
	Terminating bool `cbor:"3,keyasint,omitempty" json:"terminating,omitempty"`
}

// Secret is a certificate chain and its key. Only the digest is ever printed.
type Secret struct {
	// Name is namespace/name.
	Name string `cbor:"1,keyasint" json:"name"`
	// Digest is the SHA-256, in hex, over chain and key.
	Digest string `cbor:"2,keyasint" json:"digest"`
	// Chain and Key are PEM; both empty in a Snapshot that came from text.
	Chain []byte `cbor:"3,keyasint,omitempty" json:"-"`
	Key   []byte `cbor:"4,keyasint,omitempty" json:"-"`
}
