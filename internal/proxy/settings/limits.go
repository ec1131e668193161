package settings

import (
	"time"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/sock"
)

// Limits bounds what clients can make the proxy do.
type Limits struct {
	// HeaderBytes bounds a message's head, TargetBytes a request's target, and
	// HeaderFields the number of fields of a head.
	HeaderBytes, TargetBytes, HeaderFields int
	// HeaderTimeout bounds the time from the first byte of a request to the
	// end of its head, that of a TLS handshake, and over HTTP/2 that of any frame but
	// DATA.
	HeaderTimeout time.Duration
	// BodyTimeout bounds the time between two reads of a request's body, and
	// between two writes of an answer.
	BodyTimeout time.Duration
	// Discard bounds what is read of a request that was answered before its end.
	Discard sock.Discard
	// IdleTimeout bounds the time between two requests of a connection, whatever
	// else comes over it meanwhile.
	IdleTimeout time.Duration
	// TunnelTimeout bounds the time for which a tunnel may be silent, where
	// the route has no read timeout of its own.
	TunnelTimeout time.Duration
	// UDPTimeout bounds the time for which a UDP flow may be silent, where its
	// rule has no bound of its own, UDPFlows the flows of the whole proxy, and
	// UDPFlowsPerClient those of one address, as ConnectionsPerClient has it: source
	// ports cost a client nothing.
	UDPTimeout                  time.Duration
	UDPFlows, UDPFlowsPerClient int
	// Streams bounds the requests under way on one connection of HTTP/2, and
	// WindowBytes what the flow-control windows of all together may grow by, in
	// bytes.
	Streams     int
	WindowBytes int64
	// TLS is the least that listeners speak: the version that none goes below, and
	// the suites where a server name has none of its own; none are those that may
	// be used for HTTP/2.
	TLS model.TLSPolicy
	// HTTP3 has HTTPS listeners serve HTTP/3 too, where the program can.
	HTTP3 bool
	// Connections bounds the client connections of the whole proxy, and
	// ConnectionsPerClient those of one address (one /64 for IPv6). Trusted peers are
	// not counted by address. 0 is unbounded.
	Connections, ConnectionsPerClient int
	// BufferBytes bounds the memory that exchanges under way may hold in
	// buffers. 0 is half of the process's memory limit, if there is one.
	BufferBytes int64
	// Attempts bounds how often a request is tried.
	Attempts int
	// RetryPercent bounds the attempts that rules' policies repeat: at most that
	// part of a service's requests under way, and RetryLeast besides. RetryBytes
	// bounds the request that is kept for it.
	RetryPercent, RetryLeast, RetryBytes int
	// Mirrors bounds the copies of requests under way, and MirrorBytes each.
	Mirrors, MirrorBytes int
}

// Head bounds heads, as codecs want it.
func (l Limits) Head() msg.Limits {
	return msg.Limits{HeadBytes: l.HeaderBytes, TargetBytes: l.TargetBytes, Fields: l.HeaderFields}
}

// DefaultLimits returns the limits that stand unless they are changed.
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

// Setting is one limit as a user sets it: a flag of the commands that serve,
// and a row of docs/settings.md. Value points into the Limits.
type Setting struct {
	Flag  string
	Value any // *int, *int64, *bool, *time.Duration or flag.Value
	Doc   string
}

// Settings lists the limits of l.
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
