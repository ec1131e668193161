package frontend

import (
	"crypto/tls"
	"net"
	"net/netip"
	"sync/atomic"

	"windrose.dev/windrose/internal/proxy/httpx"
	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/settings"
	"windrose.dev/windrose/internal/proxy/sock"
)

// HTTP3 serves HTTP/3 on a UDP socket. Package http3 has the one there is; the
// engine does not import it, because not every program may carry QUIC: a main
// that may passes it in Config.HTTP3.
type HTTP3 func(HTTP3Config) HTTP3Listener

// HTTP3Config is what HTTP/3 on one listener needs.
type HTTP3Config struct {
	// Socket is the listener's from then on.
	Socket net.PacketConn
	// TLS gives the configuration for a handshake, and the listener's TLS that it is of.
	TLS    func(*tls.ClientHelloInfo) (*tls.Config, *ListenerTLS, error)
	Limits settings.Limits
	Clock  *sock.Clock
	// Growth is what flow-control windows may still grow by, in bytes.
	Growth *atomic.Int64
	// Room reports whether there is room for another connection. It is asked before
	// each handshake.
	Room func() bool
	// Admit takes a connection whose handshake is done, and serves it. It returns
	// false when a limit turns it away.
	Admit func(HTTP3Conn) bool
	// Failed is told of handshakes that failed, and when they began. io.EOF is a
	// client that left.
	Failed func(client netip.AddrPort, start int64, err error)
}

// HTTP3Listener is HTTP/3 on one listener.
type HTTP3Listener interface {
	// Serve accepts connections until Close, or until the socket fails. It returns
	// when the last of them has ended and the socket is closed.
	Serve()
	// Close has no more connections accepted. Those that there are go on.
	Close()
}

// HTTP3Conn is a client's connection. Its methods may be called from any
// goroutine.
type HTTP3Conn interface {
	// Client is where the client is, Dialled the address of ours that it has sent
	// to, as far as is known, and TLS what came of the handshake.
	Client() netip.AddrPort
	Dialled() netip.AddrPort
	TLS() tls.ConnectionState
	// ListenerTLS is what the handshake began with.
	ListenerTLS() *ListenerTLS
	// Run serves the connection to its end, and returns how it broke a rule, or
	// nil. What it reads lies in buffers of the pool.
	Run(HTTP3Server, *sock.Pool) *msg.Error
	// Leave has the connection end with its last stream. While final is false
	// streams that are on their way are still taken.
	Leave(final bool)
	// Abort ends the connection at once.
	Abort()
}

// HTTP3Server serves the requests of a connection.
type HTTP3Server interface {
	// ServeHTTP3 serves one, in a goroutine of its own. The stream must not be used
	// once it returns.
	ServeHTTP3(httpx.HTTP3Stream)
	// Refused is told of malformed requests, and Defect of panics.
	Refused(text string)
	Defect(broken any)
}
