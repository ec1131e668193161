package observe

import (
	"net/netip"
	"time"

	"windrose.dev/windrose/internal/reason"
)

// Kind is what a Flow was.
type Kind uint8

const (
	// Request is one request and its answer, or the tunnel that it became.
	Request Kind = iota
	// Connection is a connection on layer 4, and Datagrams a flow of UDP.
	Connection
	Datagrams
	// Unserved is a connection that ended before anything was routed: a handshake or a
	// PROXY header that failed. It is logged, and counted by its listener alone.
	Unserved
)

// Party is one end of a Flow, as far as it is known.
type Party struct {
	// Workload is namespace/name of the pod.
	Workload string
	// Identity is what its certificate was verified for: the URI of a SPIFFE ID, or
	// another name. Empty is that none was shown.
	Identity string
}

// Flow is an exchange, a tunnel or a connection as it was observed. Its byte slices
// are views that die with the exchange. The zero value of a field is that it is not
// known, or that there is none.
type Flow struct {
	Kind Kind
	// Rule counts the Flow; nil for what nothing counts. Service, if not nil, observes
	// how long it took. Listener counts the bytes of layer 4.
	Rule     *Route
	Service  *Service
	Listener *Listener

	// Start is when the first byte of the request came.
	Start time.Time
	// Duration is from Start to the answer's last byte; Wait is the part of it
	// that was spent waiting for the endpoint's answer to begin.
	Duration, Wait time.Duration

	Client netip.AddrPort
	TLS    bool
	// Transport is tcp, tls or udp for what is relayed whatever it says; empty
	// for HTTP. A relay has a Host and no method, target or status.
	Transport string
	Method    []byte
	Host      []byte
	Target    []byte
	RequestID []byte
	// Major and Minor are the version of HTTP; Major 0 is 1.
	Major, Minor uint8

	Status            int
	Outcome           reason.Outcome
	BytesIn, BytesOut int64

	// Source and Destination are the client's end and the backend's.
	Source, Destination Party
	// Route is the rule's id and Origin where it was written; both empty when
	// no rule matched.
	Route, Origin string
	// Policy is what denied the Flow; empty is that nothing did.
	Policy string
	// Endpoint is the address that was asked last.
	Endpoint string
	// Trace is the request's traceparent (W3C Trace Context).
	Trace []byte
	// Detail says more about a failure, and holds nothing of the message.
	Detail string
	// Attempt is the number of the attempt that decided, from 1; 0 is that there was
	// none.
	Attempt int
}
