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
	// Bundles are hashed with the secrets.
	Bundles []Bundle `json:"bundles,omitempty"`
	// Origins is keyed by the ID of a rule. It is not part of any hash.
	Origins map[string]reason.Origin `json:"origins,omitempty"`
}

// Snapshot is a frozen Parts. It is read-only and may be shared.
type Snapshot struct {
	Parts
	Hashes
	config    FrozenConfig
	endpoints FrozenEndpoints
	secrets   FrozenSecrets
	// level is the schema level for which For made it; 0 is this program's.
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
	// HTTPS listeners may also have L4 routes, for certain server names.
	HTTPS
	// TLS listeners have L4 routes only.
	TLS
	TCP
	UDP
)

// ListenerID names a listener: a port that belongs to one Gateway, or to all.
type ListenerID struct {
	// Gateway is namespace/name of the Gateway that owns the port; empty for a port that
	// all Gateways share.
	Gateway string `cbor:"1,keyasint,omitempty" json:"gateway,omitempty"`
	Port    uint16 `cbor:"2,keyasint" json:"port"`
	// UDP means a UDP port; a TCP port of the same number is a different one.
	UDP bool `cbor:"3,keyasint,omitempty" json:"udp,omitempty"`
}

// String returns the port, preceded by the Gateway and a colon if there is a Gateway, and
// followed by /udp for a UDP port.
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

// Compare orders by Gateway, then by port, and TCP before UDP.
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
	// Address is the IP address to listen on; empty leaves it to the proxy.
	Address string `cbor:"4,keyasint,omitempty" json:"address,omitempty"`
	// BackendCertificate is the name of the Secret with the client certificate for TLS to
	// backends that do not name one themselves; empty is none. If the Secret has no key
	// material, those connections fail.
	BackendCertificate string `cbor:"5,keyasint,omitempty" json:"backendCertificate,omitempty"`
	// Names are the hosts, in the forms of Host.Name, that a TLS connection must not mix:
	// a request for one of them on a connection whose server name belongs to another is
	// misdirected and gets 421 (RFC 9110 §15.5.20).
	Names []string `cbor:"7,keyasint,omitempty" json:"names,omitempty"`
	// ClientAuth asks clients for certificates; nil does not.
	ClientAuth *ClientAuth `cbor:"6,keyasint,omitempty" json:"clientAuth,omitempty"`
	// Access says who may open a connection, for HTTP as well as for layer 4.
	Access *Access `cbor:"8,keyasint,omitempty" json:"access,omitempty"`
}

// Certificate binds a server name to a secret.
type Certificate struct {
	// Host is a DNS name, or "*." or "**." and a DNS name as in Host.Name, or "*"
	// for any.
	Host string `cbor:"1,keyasint" json:"host"`
	// Secret is the name of a Secret of this Snapshot.
	Secret string `cbor:"2,keyasint" json:"secret"`
	// Policy limits the TLS versions and cipher suites for Host; nil leaves them to the
	// proxy. It cannot go below the proxy's own minimum.
	Policy *TLSPolicy `cbor:"3,keyasint,omitempty" json:"policy,omitempty"`
}

// Host is a virtual host: the rules for one host name on some listeners.
type Host struct {
	// Name is a lower-case DNS name; or "*." and a DNS name, which matches exactly one
	// more label; or "**." and a DNS name, which matches one or more labels; or "*" for
	// every host that has no entry of its own. The most specific name wins: the exact
	// name, then the longest wildcard.
	Name string `cbor:"1,keyasint" json:"name"`
	// Listeners are those that serve this host, in order.
	Listeners []ListenerID `cbor:"2,keyasint,omitempty" json:"listeners,omitempty"`
	// Blocks are tried in order, one for each dialect; the first that has a rule for the
	// request decides.
	Blocks []Block `cbor:"3,keyasint,omitempty" json:"blocks,omitempty"`
	// Fallback passes requests that match no rule to the next less specific host of the
	// listener. Without it the response is 404.
	Fallback bool `cbor:"4,keyasint,omitempty" json:"fallback,omitempty"`
}

// Order says how a Block chooses among its rules.
type Order uint8

const (
	// BySpecificity tries exact paths before expressions, then prefixes, then any path;
	// longer before shorter, prefixes by elements before prefixes by bytes, and then by
	// Rank.
	BySpecificity Order = iota
	// FirstMatch tries the rules as listed.
	FirstMatch
)

// Block holds the rules of one dialect for one host.
type Block struct {
	Dialect string `cbor:"1,keyasint" json:"dialect"`
	Order   Order  `cbor:"2,keyasint,omitempty" json:"order,omitempty"`
	// MergeSlashes matches a path as if every run of slashes were one slash.
	MergeSlashes bool `cbor:"3,keyasint,omitempty" json:"mergeSlashes,omitempty"`
	// DecodeReserved also decodes reserved characters, slashes included, before it
	// matches a path. nginx does so, and backends read the path so.
	DecodeReserved bool   `cbor:"5,keyasint,omitempty" json:"decodeReserved,omitempty"`
	Rules          []Rule `cbor:"4,keyasint,omitempty" json:"rules,omitempty"`
}

// PathKind says how a PathMatch compares.
type PathKind uint8

const (
	// AnyPath matches every path. It is tried last.
	AnyPath PathKind = iota
	// ExactPath matches the same path only, byte by byte.
	ExactPath
	// PrefixPath matches the path and those below it, by whole elements: /a matches /a,
	// /a/ and /a/b, but not /ab. Its value has no trailing slash, except for the root.
	PrefixPath
	// RegexPath matches by an RE2 expression, which is not anchored unless it says so.
	RegexPath
	// RawPrefixPath matches paths that begin with its bytes: /a matches /ab, too.
	RawPrefixPath
)

// PathMatch is a condition on the canonical path of a request.
type PathMatch struct {
	Kind  PathKind `cbor:"1,keyasint,omitempty" json:"kind,omitempty"`
	Value string   `cbor:"2,keyasint,omitempty" json:"value,omitempty"`
}

// Rule says what to do with the requests that it matches. Exactly one of Forward,
// Redirect and Respond is set.
type Rule struct {
	// ID is stable over rebuilds and unique within a host: dialect, object and index,
	// such as ingress/shop/web/0/1. A rule at several hosts counts as one in metrics and
	// logs.
	ID   string    `cbor:"1,keyasint" json:"id"`
	Path PathMatch `cbor:"2,keyasint,omitempty" json:"path,omitempty"`
	// When is a further condition; nil always holds.
	When *Predicate `cbor:"9,keyasint,omitempty" json:"when,omitempty"`
	// Rank orders the rules with the same path in a block by specificity, the lowest
	// first.
	Rank uint32 `cbor:"10,keyasint,omitempty" json:"rank,omitempty"`

	// Filters are applied to the request in this order, and to its response in reverse.
	Filters Filters `cbor:"3,keyasint,omitempty" json:"filters,omitempty"`

	Forward  *Forward  `cbor:"7,keyasint,omitempty" json:"forward,omitempty"`
	Redirect *Redirect `cbor:"13,keyasint,omitempty" json:"redirect,omitempty"`
	Respond  *Respond  `cbor:"8,keyasint,omitempty" json:"respond,omitempty"`
}

// TLSRedirect redirects plain-text requests to the same URL under https.
type TLSRedirect struct {
	Status int `cbor:"1,keyasint" json:"status"`
	// Port is the port of the listener that the client is redirected to.
	Port uint16 `cbor:"2,keyasint" json:"port"`
	// Except lists path prefixes, by elements, that are not redirected.
	Except []string `cbor:"3,keyasint,omitempty" json:"except,omitempty"`
}

// CORS responds to preflight requests and adds the response headers of the Fetch
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
	// Fetch follows the Fetch standard; without it, CORS follows ingress-nginx. With
	// Fetch, a preflight is an OPTIONS request that names a method: it gets a response
	// whatever its origin, and all other requests go to the backend. The wildcard of an
	// origin stands for any number of labels. A "*" among methods, headers, exposed
	// headers or origins allows all, also with credentials.
	Fetch bool `cbor:"7,keyasint,omitempty" json:"fetch,omitempty"`
}

// Rewrite replaces the path and the host of the request that goes to the backend. At most
// one of Pattern and Path is set.
type Rewrite struct {
	// Pattern is an RE2 expression that may match anywhere in the canonical path. Target
	// is the whole new path, in which $1 to $9 stand for the groups of the match. A query
	// in Target is put before the request's own.
	Pattern string    `cbor:"1,keyasint,omitempty" json:"pattern,omitempty"`
	Target  string    `cbor:"2,keyasint,omitempty" json:"target,omitempty"`
	Path    *PathEdit `cbor:"3,keyasint,omitempty" json:"path,omitempty"`
	// Host replaces the Host field; empty keeps it.
	Host string `cbor:"4,keyasint,omitempty" json:"host,omitempty"`
}

// PathEdit replaces the whole path, or the prefix of it that Prefix matches by elements,
// and keeps the query.
type PathEdit struct {
	// Prefix is the prefix to replace; empty replaces the whole path.
	Prefix string `cbor:"1,keyasint,omitempty" json:"prefix,omitempty"`
	// With is the replacement. A path that would become empty becomes "/" instead.
	With string `cbor:"2,keyasint,omitempty" json:"with,omitempty"`
}

// Redirect responds with a redirect to the request's URL, changed in the fields that are
// set. Empty fields keep the client's value.
type Redirect struct {
	// Status is 301, 302, 303, 307 or 308.
	Status int    `cbor:"1,keyasint" json:"status"`
	Scheme string `cbor:"2,keyasint,omitempty" json:"scheme,omitempty"`
	Host   string `cbor:"3,keyasint,omitempty" json:"host,omitempty"`
	// Port 0 is the default port of Scheme if Scheme is set, and otherwise the port that
	// the client connected to.
	Port uint16    `cbor:"4,keyasint,omitempty" json:"port,omitempty"`
	Path *PathEdit `cbor:"5,keyasint,omitempty" json:"path,omitempty"`
}

// Edit changes header fields. It removes fields first, then sets, then adds.
type Edit struct {
	Request  *HeaderEdit `cbor:"1,keyasint,omitempty" json:"request,omitempty"`
	Response *HeaderEdit `cbor:"2,keyasint,omitempty" json:"response,omitempty"`
}

// HeaderEdit changes the fields of one head. Names are written to the wire as they stand
// here, and match in any case.
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

// Mirror sends copies of requests to a Service and drops the responses.
type Mirror struct {
	Service ServiceID `cbor:"1,keyasint" json:"service"`
	// Share and Of say how many requests are copied: Share out of Of.
	Share uint32 `cbor:"2,keyasint" json:"share"`
	Of    uint32 `cbor:"3,keyasint" json:"of"`
}

// Forward sends the request to one of Backends, chosen by weight.
type Forward struct {
	Backends []Backend `cbor:"1,keyasint" json:"backends"`
	// ConnectTimeout bounds one attempt to connect; 0 is 5 s.
	ConnectTimeout time.Duration `cbor:"2,keyasint,omitempty" json:"connectTimeout,omitempty"`
	// ReadTimeout bounds the time between two reads of the response; 0 is 60 s.
	ReadTimeout time.Duration `cbor:"3,keyasint,omitempty" json:"readTimeout,omitempty"`
	// SendTimeout bounds the time between two writes of the request; 0 is 60 s.
	SendTimeout time.Duration `cbor:"4,keyasint,omitempty" json:"sendTimeout,omitempty"`
	// Timeout bounds the exchange from the request's head to the last byte of the
	// response, over all attempts; 0 is no bound.
	Timeout time.Duration `cbor:"5,keyasint,omitempty" json:"timeout,omitempty"`
	// AttemptTimeout bounds one attempt, to the last byte of the response; 0 is no bound.
	AttemptTimeout time.Duration `cbor:"6,keyasint,omitempty" json:"attemptTimeout,omitempty"`
	// Retry says when to repeat a request. If nil, a request is repeated only when the
	// failed attempt cannot have had an effect.
	Retry *Retry `cbor:"7,keyasint,omitempty" json:"retry,omitempty"`
	// Affinity keeps a client at one endpoint; nil does not.
	Affinity *Affinity `cbor:"8,keyasint,omitempty" json:"affinity,omitempty"`
}

// Retry says which failed attempts are repeated.
type Retry struct {
	// Attempts is the greatest number of repetitions, the first attempt not counted.
	Attempts int `cbor:"1,keyasint" json:"attempts"`
	// Codes are the response statuses that count as failures, ascending.
	Codes []int `cbor:"2,keyasint,omitempty" json:"codes,omitempty"`
	// Backoff is the least time before the first repetition; it doubles with each further
	// one.
	Backoff time.Duration `cbor:"3,keyasint,omitempty" json:"backoff,omitempty"`
}

// Affinity keeps the requests of a client at the endpoint that served the first one. The
// client carries a token, in a cookie or in a header field.
type Affinity struct {
	Name string `cbor:"1,keyasint" json:"name"`
	// Header means that the header field Name carries the token, instead of a cookie.
	Header bool `cbor:"2,keyasint,omitempty" json:"header,omitempty"`
	// Absolute and Idle bound the lifetime of a token; 0 is no bound.
	Absolute time.Duration `cbor:"3,keyasint,omitempty" json:"absolute,omitempty"`
	Idle     time.Duration `cbor:"4,keyasint,omitempty" json:"idle,omitempty"`
	// Permanent cookies outlive the browser's session.
	Permanent bool `cbor:"5,keyasint,omitempty" json:"permanent,omitempty"`
	// Path is the path of the cookie.
	Path string `cbor:"6,keyasint,omitempty" json:"path,omitempty"`
}

// The defaults of Forward's timeouts, which are nginx's.
const (
	DefaultConnectTimeout = 5 * time.Second
	DefaultReadTimeout    = 60 * time.Second
	DefaultSendTimeout    = 60 * time.Second
)

// Backend is a Service and its share of the requests. Exactly one of Service and Respond
// is set.
type Backend struct {
	// Service is the ID of a Service of this Snapshot.
	Service ServiceID `cbor:"1,keyasint,omitzero" json:"service,omitzero"`
	// Weight is relative to the other backends of the rule; a backend of weight 0 gets
	// nothing.
	Weight uint32 `cbor:"2,keyasint" json:"weight"`
	// Respond is the response for the share of a backend that is invalid.
	Respond *Respond `cbor:"3,keyasint,omitempty" json:"respond,omitempty"`
	// Filters apply to this share only, after the filters of the rule.
	Filters Filters `cbor:"4,keyasint,omitempty" json:"filters,omitempty"`
}

// MaxRespondBody bounds the body of a Respond, in bytes.
const MaxRespondBody = 64 << 10

// Respond is a response that the proxy itself gives, instead of a backend.
type Respond struct {
	Status  int            `cbor:"1,keyasint" json:"status"`
	Outcome reason.Outcome `cbor:"2,keyasint" json:"outcome"`
	// Why is shown by explain and in the log, and never sent to clients.
	Why string `cbor:"3,keyasint,omitempty" json:"why,omitempty"`
	// Headers and Body are sent to the client. If Body is empty and the Outcome is a
	// failure, the body is a short text that names the Outcome.
	Headers []Header `cbor:"4,keyasint,omitempty" json:"headers,omitempty"`
	Body    string   `cbor:"5,keyasint,omitempty" json:"body,omitempty"`
}

// Secret is a certificate chain and its key. Only the digest is ever printed.
type Secret struct {
	// Name is namespace/name.
	Name string `cbor:"1,keyasint" json:"name"`
	// Digest is the SHA-256 of chain and key, in hex.
	Digest string `cbor:"2,keyasint" json:"digest"`
	// Chain and Key are PEM. Both are empty in a Snapshot that was read from text.
	Chain []byte `cbor:"3,keyasint,omitempty" json:"-"`
	Key   []byte `cbor:"4,keyasint,omitempty" json:"-"`
}
