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

// Verdict is what authorization made of a Flow.
type Verdict uint8

const (
	// NotJudged: no policy applies.
	NotJudged Verdict = iota
	Allowed
	Denied
)

// String is the verdict as the log has it: empty where there was none.
// Judge notes which policy decided, if one did: the Outcome says what it came to.
func (f *Flow) Judge(policy string) {
	switch f.Policy = policy; {
	case f.Outcome == reason.Denied:
		f.Verdict = Denied
	case policy != "":
		f.Verdict = Allowed
	}
}

func (v Verdict) String() string { return [...]string{"", "allowed", "denied"}[v] }

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
	// Rule counts the Flow; nil for what nothing counts. Service, if not nil, is the one
	// that was asked, and observes how long it took. Listener counts the bytes of layer 4.
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
	// for HTTP. An L4 route has a Host and no method, target or status.
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
	// Verdict is what authorization came to, and Policy what decided it; empty where none
	// did, as where nothing allows what only a policy could.
	Verdict Verdict
	Policy  string
	// Endpoint is the address that was asked last.
	Endpoint string
	// Trace is the request's traceparent (W3C Trace Context), as the client sent it. Of
	// it only the id of the trace is told.
	Trace []byte
	// Detail says more about a failure, and holds nothing of the message.
	Detail string
	// Attempt is the number of the attempt that decided, from 1; 0 is that there was
	// none.
	Attempt int
}

// retries is how many attempts were made before the last.
func (f *Flow) retries() int64 { return int64(max(f.Attempt-1, 0)) }

// service is the id of the service that was asked.
func (f *Flow) service() string {
	if f.Service == nil {
		return ""
	}
	return f.Service.Name
}

// Where a traceparent has its parts: version-traceid-parentid-flags (W3C Trace Context,
// section 3.2.2). Those of later versions may be longer.
const (
	traceIDStart, traceIDEnd = 3, 35
	parentIDEnd              = 52
	traceparentLength        = 55
)

// traceID is the id of the trace that the request belongs to: 32 hexadecimal digits, or
// nothing where what the client sent is no traceparent.
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
