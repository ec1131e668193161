package proxy

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"sync/atomic"
	"time"

	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/proxy/sock"
)

// session is one client connection. One goroutine serves it.
type session struct {
	proxy    *Proxy
	shard    *shard
	listener *listener
	conn     *sock.Conn
	tcp      net.Conn // below TLS
	peer     exchange.Peer
	// active is false while the connection waits for its next request.
	active atomic.Bool
	first  bool
	// linger has the end of the connection wait until the client has read
	// what was sent.
	linger bool
}

func newSession(p *Proxy, sh *shard, l *listener, nc net.Conn, addr netip.AddrPort, trusted bool) *session {
	return &session{
		proxy: p, shard: sh, listener: l, tcp: nc, first: true,
		conn: sock.NewConn(nc, p.clock, &sh.pool, p.hangups),
		peer: exchange.Peer{
			Addr: addr, Port: l.port, PublicPort: l.public, Trusted: trusted,
			PublicPorts: p.publicPort,
		},
	}
}

// serve runs the connection from its first byte to its last. A panic ends this
// connection only.
func (s *session) serve() {
	defer s.end()
	if t := s.proxy.live.Load().tls[s.listener.port]; t != nil && !s.handshake(t) {
		return
	}
	for s.next() {
	}
}

func (s *session) end() {
	if broken := recover(); broken != nil {
		s.linger = false
		reportDefect(broken)
	}
	if s.linger {
		s.lingeringClose()
	}
	s.conn.Close()
	s.shard.remove(s)
	s.listener.stats.Closed.Add(s.shard.index, 1)
	s.proxy.givePlace(s.peer.Addr.Addr(), s.peer.Trusted)
}

// reportDefect says on standard error that a panic was contained.
func reportDefect(broken any) {
	fmt.Fprintf(os.Stderr, "windrose: a defect ended one connection: %v\n%s", broken, debug.Stack())
}

func (s *session) handshake(t *tlsListener) bool {
	s.conn.ReadBy(s.proxy.clock.Now() + int64(s.proxy.cfg.Limits.HeaderTimeout))
	conn := tls.Server(s.tcp, t.config)
	if err := conn.Handshake(); err != nil {
		s.listener.stats.HandshakeErrors.Add(s.shard.index, 1)
		return false
	}
	s.listener.stats.Handshakes.Add(s.shard.index, 1)
	if conn.ConnectionState().DidResume {
		s.listener.stats.Resumed.Add(s.shard.index, 1)
	}
	s.conn.Wrap(conn)
	s.peer.TLS = true
	return true
}

// next serves one request. It returns whether there may be another.
func (s *session) next() bool {
	if s.conn.In == nil && !s.await() {
		return false
	}
	s.active.Store(true)
	t := s.shard.transfers.Get().(*transfer)
	again := t.serve(s)
	t.reset()
	s.shard.transfers.Put(t)
	s.active.Store(false)
	return again
}

// await waits for the first byte of a request, holding no buffer.
func (s *session) await() bool {
	limit := s.proxy.cfg.Limits.IdleTimeout
	if s.first {
		limit, s.first = s.proxy.cfg.Limits.HeaderTimeout, false
	}
	s.conn.LimitReads(s.proxy.clock.Now(), limit)
	if s.proxy.stopping.Load() {
		return false
	}
	_, err := s.conn.Fill()
	return err == nil
}

const (
	// lingerTime and lingerRead bound how long, and for how much, a closed
	// connection still reads: a socket that is closed with unread bytes resets
	// the connection, and the client may lose the answer (RFC 9112 §9.6).
	lingerTime = 5 * time.Second
	lingerRead = 1 << 20
)

// lingeringClose ends our side and reads until the client has ended its own.
func (s *session) lingeringClose() {
	half, ok := s.tcp.(interface{ CloseWrite() error })
	if !ok {
		return
	}
	if conn, ok := s.conn.Net().(*tls.Conn); ok {
		conn.CloseWrite()
	}
	if half.CloseWrite() != nil {
		return
	}
	s.tcp.SetReadDeadline(time.Now().Add(lingerTime))
	b := s.shard.pool.Get()
	defer s.shard.pool.Put(b)
	for total := 0; total < lingerRead; {
		n, err := s.tcp.Read(b.Free())
		if total += n; err != nil {
			return
		}
	}
}
