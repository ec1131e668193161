package model

import (
	"cmp"
	"strconv"
	"time"

	"windrose.dev/windrose/internal/reason"
)

// Parts are the three parts of a Snapshot and the origins of its rules.
type Parts struct {
	Config    Config      `json:"config"`
	Endpoints []Endpoints `json:"endpoints,omitempty"`
	Secrets   []Secret    `json:"secrets,omitempty"`
	// Bundles belong to the secrets: they are hashed with them.
	Bundles []Bundle `json:"bundles,omitempty"`
	// Origins is keyed by rule id. It does not take part in hashes.
	Origins map[string]reason.Origin `json:"origins,omitempty"`
}

// Snapshot is a frozen Parts. It is read-only and may be shared.
type Snapshot struct {
	Parts
	Hashes
	config    FrozenConfig
	endpoints FrozenEndpoints
	secrets   FrozenSecrets
	// level is the Schema that it was made for, by For; 0 is this program's.
	level int
}

// Config says what is served and how, without endpoints and key material.
type Config struct {
	Listeners []Listener `json:"listeners,omitempty"`
	Hosts     []Host     `json:"hosts,omitempty"`
	L4Routes  []L4Route  `json:"l4Routes,omitempty"`
	Services  []Service  `json:"services,omitempty"`
}

// Protocol is what a listener speaks.
type Protocol uint8

// The listener protocols.
const (
	HTTP Protocol = iota
	// HTTPS may have L4 routes besides, for server names of their own.
	HTTPS
	// TLS has L4 routes alone.
	TLS
	TCP
	UDP
)

// ListenerID names a listener: a port, of one Gateway or of all.
type ListenerID struct {
	// Gateway is namespace/name of the Gateway that has the port for itself;
	// empty for a port that all share.
	Gateway string `cbor:"1,keyasint,omitempty" json:"gateway,omitempty"`
	Port    uint16 `cbor:"2,keyasint" json:"port"`
	// UDP has the port of UDP, which is another than that of TCP.
	UDP bool `cbor:"3,keyasint,omitempty" json:"udp,omitempty"`
}

// String is the port, behind the Gateway and a colon if there is one, and with
// /udp behind it if it is one of UDP.
func (id ListenerID) String() string {
	port := strconv.Itoa(int(id.Port))
	if id.UDP {
		port += udpSuffix
	}
	if id.Gateway == "" {
		return port
	}
	return id.Gateway + ":" + port
}

const udpSuffix = "/udp"

// Compare orders by Gateway, then port, and TCP before UDP.
func (id ListenerID) Compare(other ListenerID) int {
	return cmp.Or(cmp.Compare(id.Gateway, other.Gateway), cmp.Compare(id.Port, other.Port), compareBool(id.UDP, other.UDP))
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// Listener is a port that clients connect to.
type Listener struct {
	ID       ListenerID `cbor:"1,keyasint" json:"id"`
	Protocol Protocol   `cbor:"2,keyasint,omitempty" json:"protocol,omitempty"`
	// Certificates are chosen by server name (RFC 6066): the exact host, then
	// the wildcard of its parent, then the longest "**.", then "*". With no match
	// the handshake is refused.
	Certificates []Certificate `cbor:"3,keyasint,omitempty" json:"certificates,omitempty"`
	// Address is where the listener is opened; empty leaves it to the proxy.
	Address string `cbor:"4,keyasint,omitempty" json:"address,omitempty"`
	// BackendCertificate is the name of the Secret that the proxy identifies
	// itself by to backends over TLS that have none of their own; empty is none.
	// One without material fails those connections.
	BackendCertificate string `cbor:"5,keyasint,omitempty" json:"backendCertificate,omitempty"`
	// Names are the hosts, as in Host.Name, that are told apart over TLS: a request
	// for one of them on a connection whose server name belongs to another is
	// misdirected (RFC 9110 §15.5.20).
	Names []string `cbor:"7,keyasint,omitempty" json:"names,omitempty"`
	// ClientAuth is nil where clients need no certificate.
	ClientAuth *ClientAuth `cbor:"6,keyasint,omitempty" json:"clientAuth,omitempty"`
	// Access says who may open a connection, be it one of HTTP or of layer 4.
	Access *Access `cbor:"8,keyasint,omitempty" json:"access,omitempty"`
}

// Certificate binds a server name to a secret.
type Certificate struct {
	// Host is a DNS name, or "*." or "**." and a DNS name as in Host.Name, or "*"
	// for any.
	Host string `cbor:"1,keyasint" json:"host"`
	// Secret is the name of a Secret of this Snapshot.
	Secret string `cbor:"2,keyasint" json:"secret"`
	// Policy is the TLS that is spoken for Host; nil leaves it to the proxy, whose
	// own minimum it cannot go below.
	Policy *TLSPolicy `cbor:"3,keyasint,omitempty" json:"policy,omitempty"`
}

// Host is a virtual host: what one host name means on some listeners.
type Host struct {
	// Name is a lower-case DNS name; or "*." and a DNS name, which matches one
	// more label; or "**." and a DNS name, which matches any number of more
	// labels; or "*" for every host that has no entry of its own. The most
	// specific counts: the name itself, then the longest wildcard.
	Name string `cbor:"1,keyasint" json:"name"`
	// Listeners are those that serve this host, in order.
	Listeners []ListenerID `cbor:"2,keyasint,omitempty" json:"listeners,omitempty"`
	// Blocks are tried in order, one a dialect; the first that has a rule for
	// the request decides.
	Blocks []Block `cbor:"3,keyasint,omitempty" json:"blocks,omitempty"`
	// Fallback: a request that no rule takes goes to the next less specific
	// host of the listener. Without it the answer is 404.
	Fallback bool `cbor:"4,keyasint,omitempty" json:"fallback,omitempty"`
}

// Order is how a Block chooses among its rules.
type Order uint8

const (
	// BySpecificity: exact before expression before prefix before any, longer
	// before shorter, whole elements before bytes, and then by Rank.
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
	// RawPrefixPath matches what begins with its bytes: /a matches /ab, too.
	RawPrefixPath
)

// PathMatch is compared with the canonical path of a request.
type PathMatch struct {
	Kind  PathKind `cbor:"1,keyasint,omitempty" json:"kind,omitempty"`
	Value string   `cbor:"2,keyasint,omitempty" json:"value,omitempty"`
}

// Rule says what happens to the requests that it matches. Exactly one of
// Forward, Redirect and Respond is set.
type Rule struct {
	// ID is stable over rebuilds and unique at a host: dialect, object and
	// index, such as ingress/shop/web/0/1. A rule that stands at several hosts
	// is one in metrics and logs.
	ID   string    `cbor:"1,keyasint" json:"id"`
	Path PathMatch `cbor:"2,keyasint,omitempty" json:"path,omitempty"`
	// When is what must hold besides; nil always does.
	When *Predicate `cbor:"9,keyasint,omitempty" json:"when,omitempty"`
	// Rank orders the rules for one path in a block by specificity, the lowest
	// first.
	Rank uint32 `cbor:"10,keyasint,omitempty" json:"rank,omitempty"`

	// Filters are what applies on the way in, in this order.
	Filters Filters `cbor:"3,keyasint,omitempty" json:"filters,omitempty"`

	Forward  *Forward  `cbor:"7,keyasint,omitempty" json:"forward,omitempty"`
	Redirect *Redirect `cbor:"13,keyasint,omitempty" json:"redirect,omitempty"`
	Respond  *Respond  `cbor:"8,keyasint,omitempty" json:"respond,omitempty"`
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
	// Fetch goes by the Fetch standard where ingress-nginx, which the rest
	// follows, does not. A preflight is an OPTIONS request that names a method;
	// it is answered whatever its origin, and others go on. The wildcard of an
	// origin stands for any number of labels. A "*" among methods, headers,
	// exposed headers or origins allows all, also with credentials.
	Fetch bool `cbor:"7,keyasint,omitempty" json:"fetch,omitempty"`
}

// Rewrite replaces path and host of the request that goes to the backend. At
// most one of Pattern and Path is set.
type Rewrite struct {
	// Pattern is an RE2 expression, found anywhere in the canonical path; Target
	// is the whole new path, in which $1 to $9 stand for what the groups matched.
	// A query in Target goes before the request's.
	Pattern string    `cbor:"1,keyasint,omitempty" json:"pattern,omitempty"`
	Target  string    `cbor:"2,keyasint,omitempty" json:"target,omitempty"`
	Path    *PathEdit `cbor:"3,keyasint,omitempty" json:"path,omitempty"`
	// Host replaces the Host field; empty leaves it.
	Host string `cbor:"4,keyasint,omitempty" json:"host,omitempty"`
}

// PathEdit replaces the path, or the part of it that Prefix matches by whole
// elements, and leaves the query.
type PathEdit struct {
	// Prefix is what is replaced; empty replaces the whole path.
	Prefix string `cbor:"1,keyasint,omitempty" json:"prefix,omitempty"`
	// With stands in its place. An empty one of a prefix leaves "/" at least.
	With string `cbor:"2,keyasint,omitempty" json:"with,omitempty"`
}

// Redirect answers with the request's URL under other terms. What is empty
// stays as the client has it.
type Redirect struct {
	// Status is 301, 302, 303, 307 or 308.
	Status int    `cbor:"1,keyasint" json:"status"`
	Scheme string `cbor:"2,keyasint,omitempty" json:"scheme,omitempty"`
	Host   string `cbor:"3,keyasint,omitempty" json:"host,omitempty"`
	// Port 0 is the scheme's own where Scheme is set, and else the port that the
	// client dialled.
	Port uint16    `cbor:"4,keyasint,omitempty" json:"port,omitempty"`
	Path *PathEdit `cbor:"5,keyasint,omitempty" json:"path,omitempty"`
}

// Edit changes header fields: it removes, then sets, then adds.
type Edit struct {
	Request  *HeaderEdit `cbor:"1,keyasint,omitempty" json:"request,omitempty"`
	Response *HeaderEdit `cbor:"2,keyasint,omitempty" json:"response,omitempty"`
}

// HeaderEdit changes the fields of one head. Names are as they are written to
// the wire, and match in any case.
type HeaderEdit struct {
	Remove []string `cbor:"1,keyasint,omitempty" json:"remove,omitempty"`
	Set    []Header `cbor:"2,keyasint,omitempty" json:"set,omitempty"`
	Add    []Header `cbor:"3,keyasint,omitempty" json:"add,omitempty"`
}

// Header is one field.
type Header struct {
	Name  string `cbor:"1,keyasint" json:"name"`
	Value string `cbor:"2,keyasint" json:"value"`
}

// Mirror sends copies of requests to a Service and drops the answers.
type Mirror struct {
	Service ServiceID `cbor:"1,keyasint" json:"service"`
	// Share and Of say how many requests are copied: Share of Of.
	Share uint32 `cbor:"2,keyasint" json:"share"`
	Of    uint32 `cbor:"3,keyasint" json:"of"`
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
	// Timeout bounds the exchange from the request's head to the answer's last
	// byte, with all attempts; 0 is no bound.
	Timeout time.Duration `cbor:"5,keyasint,omitempty" json:"timeout,omitempty"`
	// AttemptTimeout bounds one attempt, to the answer's last byte; 0 is no
	// bound.
	AttemptTimeout time.Duration `cbor:"6,keyasint,omitempty" json:"attemptTimeout,omitempty"`
	// Retry is nil where a request is repeated only if it cannot have had an
	// effect.
	Retry *Retry `cbor:"7,keyasint,omitempty" json:"retry,omitempty"`
	// Affinity keeps a client at one endpoint; nil does not.
	Affinity *Affinity `cbor:"8,keyasint,omitempty" json:"affinity,omitempty"`
}

// Retry says which failed attempts are repeated.
type Retry struct {
	// Attempts is how often a request is repeated at most.
	Attempts int `cbor:"1,keyasint" json:"attempts"`
	// Codes are the statuses of answers that count as failed, ascending.
	Codes []int `cbor:"2,keyasint,omitempty" json:"codes,omitempty"`
	// Backoff is the least time before a repeated attempt; it doubles each time.
	Backoff time.Duration `cbor:"3,keyasint,omitempty" json:"backoff,omitempty"`
}

// Affinity keeps the requests of a client at the endpoint that answered the
// first. The client carries a token, in a cookie or in a header field.
type Affinity struct {
	Name string `cbor:"1,keyasint" json:"name"`
	// Header carries the token in the field Name instead of a cookie.
	Header bool `cbor:"2,keyasint,omitempty" json:"header,omitempty"`
	// Absolute and Idle bound the life of a session; 0 is no bound.
	Absolute time.Duration `cbor:"3,keyasint,omitempty" json:"absolute,omitempty"`
	Idle     time.Duration `cbor:"4,keyasint,omitempty" json:"idle,omitempty"`
	// Permanent cookies outlive the browser's session.
	Permanent bool `cbor:"5,keyasint,omitempty" json:"permanent,omitempty"`
	// Path is the cookie's.
	Path string `cbor:"6,keyasint,omitempty" json:"path,omitempty"`
}

// The defaults of Forward's timeouts, which are nginx's.
const (
	DefaultConnectTimeout = 5 * time.Second
	DefaultReadTimeout    = 60 * time.Second
	DefaultSendTimeout    = 60 * time.Second
)

// Backend is a Service and its share of the requests. Exactly one of Service
// and Respond is set.
type Backend struct {
	// Service is the ID of a Service of this Snapshot.
	Service ServiceID `cbor:"1,keyasint,omitzero" json:"service,omitzero"`
	// Weight is relative to the other backends of the rule; 0 gets nothing.
	Weight uint32 `cbor:"2,keyasint" json:"weight"`
	// Respond answers the share of a backend that cannot be had.
	Respond *Respond `cbor:"3,keyasint,omitempty" json:"respond,omitempty"`
	// Filters apply to this share alone, after the rule's.
	Filters Filters `cbor:"4,keyasint,omitempty" json:"filters,omitempty"`
}

// MaxRespondBody bounds the body of a Respond, in bytes.
const MaxRespondBody = 64 << 10

// Respond answers in the backend's place.
type Respond struct {
	Status  int            `cbor:"1,keyasint" json:"status"`
	Outcome reason.Outcome `cbor:"2,keyasint" json:"outcome"`
	// Why is shown by explain and in the log, never to clients.
	Why string `cbor:"3,keyasint,omitempty" json:"why,omitempty"`
	// Headers and Body are what the client gets. Without a Body it gets a short text
	// that names the Outcome, where that is a failure.
	Headers []Header `cbor:"4,keyasint,omitempty" json:"headers,omitempty"`
	Body    string   `cbor:"5,keyasint,omitempty" json:"body,omitempty"`
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
