package observe

import (
	"net/netip"
	"time"

	"windrose.dev/windrose/internal/reason"
)

// Flow is one exchange as it was observed. Its byte slices are views that die
// with the exchange.
type Flow struct {
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

	// Route is the rule's id and Origin where it was written; both empty when
	// no rule matched.
	Route, Origin string
	// Endpoint is the address that was asked last, and Pod its pod.
	Endpoint, Pod string
	// Detail says more about a failure, and holds nothing of the message.
	Detail string
	// Retries counts attempts after the first.
	Retries int
}
