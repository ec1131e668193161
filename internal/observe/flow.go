package observe

import (
	"net/netip"
	"time"

	"windrose.dev/windrose/internal/reason"
)

// Kind is the kind of a Flow.
type Kind uint8

const (
	// Request is one request and its response, or the tunnel that it became.
	Request Kind = iota
	// Connection is a connection on layer 4, and Datagrams a UDP flow.
	Connection
	Datagrams
	// Unserved is a connection that ended before anything was routed, because its TLS
	// handshake or its PROXY protocol header failed. It is logged, and counted only for
	// its listener.
	Unserved
)

// Verdict is the result of authorization for a Flow.
type Verdict uint8

const (
	// NotJudged: no policy applied.
	NotJudged Verdict = iota
	Allowed
	Denied
)

// Judge records the policy that decided, if any did. It must be called after Outcome is
// set.
func (f *Flow) Judge(policy string) {
	switch f.Policy = policy; {
	case f.Outcome == reason.Denied:
		f.Verdict = Denied
	case policy != "":
		f.Verdict = Allowed
	}
}

// String returns the verdict as the log has it; empty if no policy applied.
func (v Verdict) String() string { return [...]string{"", "allowed", "denied"}[v] }

// Party is one end of a Flow, as far as it is known.
type Party struct {
	// Workload is namespace/name of the pod.
	Workload string
	// Identity is the name in its verified certificate: the URI of a SPIFFE ID, or
	// another name. It is empty if there was no certificate.
	Identity string
}

// Flow is an exchange, a tunnel or a connection as it was observed. Its byte slices are
// views that are valid only as long as the exchange. The zero value of a field means that
// it is unknown, or that there is none.
type Flow struct {
	Kind Kind
	// Rule counts the Flow; nil if it is not counted. Service, if not nil, is the service
	// that the request went to; it observes the duration. Listener counts the bytes of
	// layer 4.
	Rule     *Route
	Service  *Service
	Listener *Listener

	// Start is when the first byte of the request arrived.
	Start time.Time
	// Duration is the time from Start to the last byte of the response; Wait is the part
	// of it spent waiting for the first byte from the endpoint.
	Duration, Wait time.Duration

	Client netip.AddrPort
	TLS    bool
	// Transport is tcp, tls or udp for flows of layer 4; empty for HTTP. A Flow of an L4
	// route has a Host but no method, target or status.
	Transport string
	Method    []byte
	Host      []byte
	Target    []byte
	RequestID []byte
	// Major and Minor are the HTTP version; Major 0 means 1.
	Major, Minor uint8

	Status            int
	Outcome           reason.Outcome
	BytesIn, BytesOut int64

	// Source is the client's end and Destination the backend's.
	Source, Destination Party
	// Route is the ID of the rule, and Origin where it was written; both are empty if no
	// rule matched.
	Route, Origin string
	// Verdict is the result of authorization, and Policy the ID of the permission that
	// decided; empty if none did. If a request is denied because no permission allows it,
	// Policy is the first permission that could have allowed it.
	Verdict Verdict
	Policy  string
	// Endpoint is the address of the last attempt.
	Endpoint string
	// Trace is the traceparent of the request (W3C Trace Context), as the client sent it.
	// Only its trace id is logged.
	Trace []byte
	// Detail says more about a failure. It holds nothing of the message itself.
	Detail string
	// Attempt is the number of the attempt that decided, counted from 1; 0 if there was
	// none.
	Attempt int
}

// retries returns the number of attempts before the last one.
func (f *Flow) retries() int64 { return int64(max(f.Attempt-1, 0)) }

// service returns the ID of the service, or "".
func (f *Flow) service() string {
	if f.Service == nil {
		return ""
	}
	return f.Service.Name
}

// The parts of a traceparent: version-traceid-parentid-flags (W3C Trace Context, section
// 3.2.2). Later versions may be longer.
const (
	traceIDStart, traceIDEnd = 3, 35
	parentIDEnd              = 52
	traceparentLength        = 55
)

// traceID returns the trace id of the request, 32 hexadecimal digits; nil if the client
// sent no valid traceparent.
func (f *Flow) traceID() []byte {
	t := f.Trace
	if len(t) < traceparentLength || t[traceIDStart-1] != '-' || t[traceIDEnd] != '-' || t[parentIDEnd] != '-' {
		return nil
	}
	id, zeros := t[traceIDStart:traceIDEnd], 0
	for _, c := range id {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return nil
		}
		if c == '0' {
			zeros++
		}
	}
	if zeros == len(id) {
		return nil
	}
	return id
}
