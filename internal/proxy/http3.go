package proxy

import (
	"crypto/tls"
	"net"
	"net/netip"
	"sync/atomic"

	"windrose.dev/windrose/internal/proxy/msg"
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
	// TLS gives the configuration for a handshake, and the terms that it stands for.
	TLS    func(*tls.ClientHelloInfo) (*tls.Config, HTTP3Terms, error)
	Limits Limits
	Clock  *sock.Clock
	// Growth is what flow-control windows may still grow by, in bytes.
	Growth *atomic.Int64
	// Room tells whether there is room for another connection. It is asked before
	// each handshake.
	Room func() bool
	// Admit takes a connection whose handshake is done, and serves it. It returns
	// false when a limit turns it away.
	Admit func(HTTP3Conn) bool
	// Failed is told of handshakes that failed, and when they began. io.EOF is a
	// client that left.
	Failed func(client netip.AddrPort, start int64, err error)
}

// HTTP3Terms are what a listener asked of a client when its handshake began.
type HTTP3Terms struct{ tls *tlsListener }

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
	// Terms are those of the handshake.
	Terms() HTTP3Terms
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
	ServeHTTP3(HTTP3Stream)
	// Refused is told of malformed requests, and Defect of panics.
	Refused(text string)
	Defect(broken any)
}

// HTTP3Stream is one request and its answer.
type HTTP3Stream interface {
	waits
	Gone() bool
	AbortOnHangup(partner *sock.Partner) bool
	KeepOnHangup(partner *sock.Partner) bool

	// Request waits for the request and makes head a view of it, which is valid
	// until the stream is finished; fault is how it breaks a limit. ok is false when
	// there is none to be served.
	Request(head *msg.Head) (fault *msg.Error, ok bool)
	// BodyLength is that of the request's body, or -1.
	BodyLength() int64
	// Early takes what has come of the body, without waiting, and tells whether that
	// was all of it. It stays where it is until the stream is finished.
	Early() (data []byte, whole bool, err error)
	// More waits for more of the body, which stays where it is until the next More.
	More() (data []byte, whole bool, err error)
	// Trailer returns the lines behind the body, once that has ended.
	Trailer() []byte

	// Interim sends a 1xx answer. Answer sends the head of the final one and the
	// first of its body, and Write more of it; the stream ends with the last.
	Interim(head *msg.Head) (sent int, err error)
	Answer(head *msg.Head, data []byte, last bool, trailer []byte) (sent int, err error)
	Write(data []byte, last bool, trailer []byte) (sent int, err error)
	// Abort resets the stream. Of one that is not, what is left of the request is
	// discarded once it was served.
	Abort()
}

// openHTTP3 is HTTP/3 on a listener, while it is open.
type openHTTP3 struct {
	HTTP3Listener
	altSvc []byte
}
