package frontend

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"

	"windrose.dev/windrose/internal/observe"
	"windrose.dev/windrose/internal/reason"
)

// QUIC is the port of UDP beside a listener, on which HTTP/3 is spoken.
type QUIC struct {
	listener *Listener
	socket   net.PacketConn
	http3    HTTP3Listener
	altSvc   []byte
}

// ListenQUIC serves HTTP/3 on a socket, once Serve is called.
func (l *Listener) ListenQUIC(socket net.PacketConn) *QUIC {
	e := l.server.Engine
	return &QUIC{
		listener: l, socket: socket, altSvc: fmt.Appendf(nil, `h3=":%d"; ma=86400`, l.Public),
		http3: l.server.HTTP3(HTTP3Config{
			Socket: socket, TLS: l.http3TLS, Limits: e.Limits, Clock: e.Clock, Growth: &e.Growth,
			Room: l.server.hasRoom, Admit: l.admitHTTP3, Failed: l.http3HandshakeFailed,
		}),
	}
}

// Addr is where it listens.
func (q *QUIC) Addr() net.Addr { return q.socket.LocalAddr() }

// Open has clients be told of HTTP/3.
func (q *QUIC) Open() { q.listener.quic.Store(q) }

// Beside reports whether it is open beside l. It is not once Close was called, or the
// socket has failed.
func (q *QUIC) Beside(l *Listener) bool { return q.listener == l && l.quic.Load() == q }

// Serve accepts connections until Close, and serves to their end those that there are:
// they all need the socket.
func (q *QUIC) Serve() {
	q.http3.Serve()
	q.listener.quic.CompareAndSwap(q, nil) // the socket may have failed
}

// Close has no more connections be accepted; those that there are end with their last
// stream. It may be called again.
func (q *QUIC) Close() {
	if !q.listener.quic.CompareAndSwap(q, nil) {
		return
	}
	q.http3.Close()
	q.listener.server.each(func(c *conn) {
		if c.listener == q.listener && c.quic != nil {
			c.quic.Leave(true)
		}
	})
}

// Leave is Close: the socket is not shared with another process.
func (q *QUIC) Leave(bool) { q.Close() }

// offer is what tells clients that HTTP/3 is spoken here, or nil.
func (l *Listener) offer() []byte {
	if open := l.quic.Load(); open != nil {
		return open.altSvc
	}
	return nil
}

// errNoTLS refuses handshakes on a listener that has just stopped speaking TLS.
var errNoTLS = errors.New("the listener does not speak TLS")

// http3TLS is the listener's TLS as it is now, as QUIC needs it.
func (l *Listener) http3TLS(hello *tls.ClientHelloInfo) (*tls.Config, *ListenerTLS, error) {
	t := l.tls()
	if t == nil {
		return nil, nil, errNoTLS
	}
	if t.refused != nil {
		return nil, nil, t.refused
	}
	config := t.config.Clone() // with the ticket keys of now
	config.NextProtos, config.MinVersion = []string{"h3"}, tls.VersionTLS13
	return config, t, nil
}

// http3HandshakeFailed counts a failed handshake, and says why it did.
func (l *Listener) http3HandshakeFailed(client netip.AddrPort, start int64, err error) {
	e := l.server.Engine
	shard := e.NextShard().Index
	l.Stats.HandshakeErrors.Add(shard, 1)
	if errors.Is(err, io.EOF) {
		return // see recordHandshake
	}
	e.Sink.Record(shard, &observe.Flow{
		Kind: observe.Unserved, Start: e.Clock.Time(start), Duration: e.Since(start),
		Client: client, TLS: true, Major: 3, Outcome: reason.HandshakeFailed, Detail: err.Error(),
	})
}
