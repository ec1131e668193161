package http3

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"windrose.dev/windrose/internal/proxy/frontend"
	codec "windrose.dev/windrose/internal/proxy/wire/http3"
)

const (
	// maxHandshakes bounds the concurrent handshakes on one socket. freeHandshakes
	// bounds those of clients whose address is not validated (RFC 9000 §8.1.2): others
	// must validate it first.
	maxHandshakes, freeHandshakes = 1024, 64
	// firstStreamWindow is the initial flow control window of a stream, in bytes. It
	// grows up to maxStreamWindow as the body is read. The windows of the connection
	// bound all its streams together.
	firstStreamWindow, maxStreamWindow = 64 << 10, 4 << 20
	firstConnWindow, maxConnWindow     = 256 << 10, 16 << 20
	// maxUniStreams bounds the unidirectional streams of a client: the three that it
	// needs, and some of unknown types (RFC 9114 §6.2).
	maxUniStreams = 8
	// leastSilence is the minimum of QUIC's idle timeout.
	leastSilence = 30 * time.Second
)

// listener serves HTTP/3 on one UDP socket.
type listener struct {
	cfg        frontend.HTTP3Config
	transport  *quic.Transport
	handshakes atomic.Int64 // concurrent handshakes
	conns      sync.WaitGroup

	mu     sync.Mutex // guards the fields below
	quic   *quic.Listener
	closed bool
	grown  map[*quic.Conn]int64 // by how many bytes the windows have grown
}

// New returns a listener; it is a frontend.HTTP3.
func New(cfg frontend.HTTP3Config) frontend.HTTP3Listener {
	l := &listener{cfg: cfg, grown: map[*quic.Conn]int64{}}
	l.transport = &quic.Transport{
		Conn: cfg.Socket, ConnContext: l.begun,
		VerifySourceAddress: func(net.Addr) bool { return l.handshakes.Load() >= freeHandshakes },
	}
	return l
}

func (l *listener) config() *quic.Config {
	limits := &l.cfg.Limits
	silence := max(limits.IdleTimeout, leastSilence)
	return &quic.Config{
		HandshakeIdleTimeout: limits.HeaderTimeout / 2, // the whole may take twice as long
		MaxIdleTimeout:       silence,
		// An exchange may be silent for longer, so QUIC sends keep-alive packets. A
		// connection without an exchange is ended by our own idle timeout, which these
		// packets do not reset.
		KeepAlivePeriod:                silence / 2,
		InitialStreamReceiveWindow:     firstStreamWindow,
		MaxStreamReceiveWindow:         maxStreamWindow,
		InitialConnectionReceiveWindow: firstConnWindow,
		MaxConnectionReceiveWindow:     maxConnWindow,
		AllowConnectionWindowIncrease:  l.grow,
		MaxIncomingStreams:             int64(limits.Streams),
		MaxIncomingUniStreams:          maxUniStreams,
		// A stream that the client has reset counts towards the limit until its work
		// has ended, so that a client cannot cause more work than the limit permits by
		// resets.
		RequireStreamCreditRelease: true,
	}
}

// Serve accepts connections until Close is called, and then waits for them to end.
func (l *listener) Serve() {
	defer l.cfg.Socket.Close()
	defer l.transport.Close()
	ql := l.listen()
	if ql == nil {
		return
	}
	for {
		qc, err := ql.Accept(context.Background())
		if err != nil {
			break
		}
		l.accepted(qc)
	}
	l.conns.Wait()
}

// listen starts to receive packets. It returns nil if Close was called before.
func (l *listener) listen() *quic.Listener {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	ql, err := l.transport.Listen(&tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{"h3"}, GetConfigForClient: l.configFor}, l.config())
	if err != nil {
		return nil
	}
	l.quic = ql
	return ql
}

// configFor returns the TLS configuration for a handshake, and records its ListenerTLS.
func (l *listener) configFor(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	config, began, err := l.cfg.TLS(hello)
	if h, ok := hello.Context().Value(handshakeKey{}).(*handshake); ok {
		h.began = began
	}
	return config, err
}

// Close stops accepting connections.
func (l *listener) Close() {
	l.mu.Lock()
	l.closed = true
	ql := l.quic
	l.mu.Unlock()
	if ql != nil {
		ql.Close()
	}
}

// handshake is a handshake under way.
type handshake struct {
	l      *listener
	start  int64
	client netip.AddrPort
	began  *frontend.ListenerTLS
	ended  atomic.Bool
	unmind func() bool
}

// handshakeKey is the key of the handshake in a connection's context.
type handshakeKey struct{}

// errFull and errBusy reject a connection before its handshake.
var (
	errFull = errors.New("the limit on connections is reached: --max-connections")
	errBusy = errors.New("too many handshakes are under way")
)

// begun is called when a handshake begins.
func (l *listener) begun(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
	switch {
	case !l.cfg.Room():
		return nil, errFull
	case l.handshakes.Add(1) > maxHandshakes:
		l.handshakes.Add(-1)
		return nil, errBusy
	}
	h := &handshake{l: l, start: l.cfg.Clock.Now(), client: addrPort(info.RemoteAddr)}
	h.unmind = context.AfterFunc(ctx, func() { h.failed(context.Cause(ctx)) })
	return context.WithValue(ctx, handshakeKey{}, h), nil
}

// end ends the handshake, and reports whether it was under way.
func (h *handshake) end() bool {
	if h.ended.Swap(true) {
		return false
	}
	h.l.handshakes.Add(-1)
	return true
}

// failed is called when the connection ends before it is accepted. If the client closed
// it with an HTTP/3 error code, the handshake had succeeded. If it closed it without a
// reason that we may see (RFC 9000 §10.2.3), the client has gone.
func (h *handshake) failed(err error) {
	var inOrder *quic.ApplicationError
	var left *quic.TransportError
	switch {
	case !h.end() || errors.As(err, &inOrder):
		return
	case errors.As(err, &left) && left.Remote && left.ErrorCode == quic.ApplicationErrorErrorCode:
		err = io.EOF
	}
	h.l.cfg.Failed(h.client, h.start, err)
}

// accepted serves a connection whose handshake is done.
func (l *listener) accepted(qc *quic.Conn) {
	c := newConn(l, qc)
	if h, ok := qc.Context().Value(handshakeKey{}).(*handshake); ok {
		h.unmind()
		h.end()
		c.began = h.began
	}
	l.conns.Add(1)
	if !l.cfg.Admit(c) {
		qc.CloseWithError(quic.ApplicationErrorCode(codec.ExcessiveLoad), "")
		l.conns.Done()
	}
}

// grow permits a connection's window to grow, as long as the budget of all connections
// together is not exhausted.
func (l *listener) grow(qc *quic.Conn, delta uint64) bool {
	if l.cfg.Growth.Add(-int64(delta)) < 0 {
		l.cfg.Growth.Add(int64(delta))
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.grown[qc] += int64(delta)
	return true
}

// ended releases the resources of a connection.
func (l *listener) ended(qc *quic.Conn) {
	l.mu.Lock()
	l.cfg.Growth.Add(l.grown[qc])
	delete(l.grown, qc)
	l.mu.Unlock()
	l.conns.Done()
}

func addrPort(addr net.Addr) netip.AddrPort {
	if udp, ok := addr.(*net.UDPAddr); ok {
		ap := udp.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return netip.AddrPort{}
}
