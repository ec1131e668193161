package settings

import (
	"time"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/sock"
)

// Limits bounds what clients can make the proxy do.
type Limits struct {
	// HeaderBytes bounds a header section with its start line, TargetBytes a request
	// target, and HeaderFields the number of fields.
	HeaderBytes, TargetBytes, HeaderFields int
	// HeaderTimeout bounds the time from the first byte of a request to the end of its
	// header section, that of a TLS handshake, and, over HTTP/2, that of any frame
	// except DATA.
	HeaderTimeout time.Duration
	// BodyTimeout bounds the time between two reads of a request body, and between two
	// writes of a response.
	BodyTimeout time.Duration
	// Discard bounds what is read of a request body after the response was sent.
	Discard sock.Discard
	// IdleTimeout bounds the time between two requests on a connection, whatever else
	// is received meanwhile.
	IdleTimeout time.Duration
	// TunnelTimeout is the idle timeout of tunnels whose route has no read timeout of
	// its own.
	TunnelTimeout time.Duration
	// UDPTimeout is the idle timeout of UDP flows whose rule has none of its own.
	// UDPFlows bounds the flows of the whole proxy, and UDPFlowsPerClient those of one
	// client address (counted as for ConnectionsPerClient): a client can use any number
	// of source ports.
	UDPTimeout                  time.Duration
	UDPFlows, UDPFlowsPerClient int
	// Streams bounds the concurrent requests on one HTTP/2 connection. WindowBytes
	// bounds the growth of the flow control windows of all connections together, in
	// bytes.
	Streams     int
	WindowBytes int64
	// TLS is the minimum for all listeners: no server name may use a lower version, and
	// a server name without cipher suites of its own uses these. No suites means those
	// that HTTP/2 permits.
	TLS model.TLSPolicy
	// HTTP3 makes HTTPS listeners serve HTTP/3 too, if the program supports it.
	HTTP3 bool
	// Connections bounds the client connections of the whole proxy, and
	// ConnectionsPerClient those of one address (one /64 for IPv6). Trusted peers are
	// not counted by address. 0 means no bound.
	Connections, ConnectionsPerClient int
	// BufferBytes bounds the memory that exchanges under way may hold in buffers. 0
	// means half of the process's memory limit, if there is one.
	BufferBytes int64
	// Attempts bounds the attempts of a request.
	Attempts int
	// RetryPercent bounds the retries by rules' policies: at most this percentage of a
	// service's requests under way may be retries, plus RetryLeast. RetryBytes bounds
	// the replay buffer of a request.
	RetryPercent, RetryLeast, RetryBytes int
	// Mirrors bounds the mirrored requests under way, and MirrorBytes the size of each.
	Mirrors, MirrorBytes int
}

// Head returns the limits of header sections, for the codecs.
func (l Limits) Head() msg.Limits {
	return msg.Limits{HeadBytes: l.HeaderBytes, TargetBytes: l.TargetBytes, Fields: l.HeaderFields}
}

// DefaultLimits returns the default limits.
func DefaultLimits() Limits {
	return Limits{
		HeaderBytes: 32 << 10, TargetBytes: 8 << 10, HeaderFields: 100,
		HeaderTimeout: 15 * time.Second, BodyTimeout: 60 * time.Second,
		IdleTimeout: 75 * time.Second, TunnelTimeout: time.Hour,
		UDPTimeout: time.Minute, UDPFlows: 16_384, UDPFlowsPerClient: 1024,
		Discard: sock.DefaultDiscard(), Streams: 128, WindowBytes: 64 << 20, HTTP3: true,
		TLS:         model.TLSPolicy{MinVersion: model.TLS12, Suites: model.AEADSuites()},
		Connections: 50_000, ConnectionsPerClient: 16_384,
		Attempts: 3, RetryPercent: 20, RetryLeast: 3, RetryBytes: 64 << 10,
		Mirrors: 256, MirrorBytes: 64 << 10,
	}
}

// Setting is one limit as an operator sets it: a flag of the commands that serve, and a
// row in docs/settings.md. Value points into the Limits.
type Setting struct {
	Flag  string
	Value any // *int, *int64, *bool, *time.Duration or flag.Value
	Doc   string
}

// Settings returns the limits of l as settings.
func (l *Limits) Settings() []Setting {
	return []Setting{
		{"max-header-bytes", &l.HeaderBytes, "Largest head of a request or response, in bytes. More answers 431."},
		{"max-uri-bytes", &l.TargetBytes, "Longest request target, in bytes. More answers 414."},
		{"max-header-fields", &l.HeaderFields, "Most header fields in a message. More answers 431."},
		{"header-timeout", &l.HeaderTimeout, "Longest time for a request's head, a TLS handshake, or over HTTP/2 any frame but DATA, to arrive. More answers 408, or closes."},
		{"body-timeout", &l.BodyTimeout, "Longest pause while a client sends a body or takes an answer. More answers 408, or closes."},
		{"idle-timeout", &l.IdleTimeout, "Longest pause between two requests of a connection, whatever else comes over it."},
		{"tunnel-timeout", &l.TunnelTimeout, "Longest silence of a WebSocket or other tunnel, where proxy-read-timeout is not set, and of a relayed TCP connection."},
		{"udp-timeout", &l.UDPTimeout, "Longest silence of a UDP flow, which then ends: the client's next datagram may go to another endpoint."},
		{"max-udp-flows", &l.UDPFlows, "Most UDP flows at a time, one for each client address and port; each has a socket of its own. 0 is unbounded. Datagrams of more are dropped."},
		{"max-udp-flows-per-client", &l.UDPFlowsPerClient, "Most UDP flows of one client address, or of one /64 of IPv6; trusted proxies are not counted. 0 is unbounded."},
		{"max-streams", &l.Streams, "Most requests at a time on one connection of HTTP/2 or HTTP/3. More are refused, and may be sent again."},
		{"max-window-bytes", &l.WindowBytes, "Most bytes by which the flow-control windows of all HTTP/2 streams and HTTP/3 connections together grow beyond what they begin with."},
		{"tls-min-version", (*versionValue)(&l.TLS.MinVersion), "Lowest version of TLS that clients may speak, 1.2 or 1.3. No resource can go below it."},
		{"tls-cipher-suites", (*suitesValue)(&l.TLS.Suites), "Cipher suites for clients of TLS 1.2, by IANA's or OpenSSL's names, separated by commas, where nothing says otherwise of the server name. Those of TLS 1.3 are always on. With a suite of CBC a client speaks HTTP/1.1, since HTTP/2 prohibits those."},
		{"http3", &l.HTTP3, "Serve HTTP/3 on the UDP port of each HTTPS listener, in programs that can (windrose-proxy cannot), and advertise it there in Alt-Svc."},
		{"max-connections", &l.Connections, "Most client connections at a time; 0 is unbounded. More are closed at once."},
		{"max-connections-per-client", &l.ConnectionsPerClient, "Most connections at a time, and most UDP flows, of one client address (one /64 for IPv6) that is not trusted; 0 is unbounded."},
		{"max-buffer-bytes", &l.BufferBytes, "Most memory in buffers of exchanges under way; 0 is half the memory limit. More answers 503 overloaded."},
		{"max-attempts", &l.Attempts, "Most attempts for one request, while nothing was sent or it is safe to repeat."},
		{"retry-budget-percent", &l.RetryPercent, "Most attempts that retry policies repeat at a time, in percent of a service's requests under way. More are not repeated."},
		{"retry-budget-least", &l.RetryLeast, "Attempts that retry policies may repeat at a time for each service whatever the percentage says."},
		{"max-retry-bytes", &l.RetryBytes, "Largest request, in bytes, that a retry policy repeats once its body was sent on."},
		{"max-mirrors", &l.Mirrors, "Most copies of requests for mirrors at a time; one service gets half of them at most. More are dropped."},
		{"max-mirror-bytes", &l.MirrorBytes, "Largest request, in bytes, that is copied to mirrors. Larger ones are not."},
	}
}
