package proxy

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"windrose.dev/windrose/internal/observe"
	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/proxy/mux"
	"windrose.dev/windrose/internal/proxy/sock"
	"windrose.dev/windrose/internal/proxy/upstream"
	"windrose.dev/windrose/internal/reason"
)

// session is one client connection. One goroutine serves it.
type session struct {
	proxy    *Proxy
	shard    *shard
	listener *listener
	conn     *sock.Conn
	tcp      net.Conn // below TLS
	// quic is the connection if it speaks HTTP/3, which then has neither conn nor
	// tcp.
	quic HTTP3Conn
	peer exchange.Peer
	// terms are those on which the client was let in; nil while that is not settled,
	// and for connections that are carried as they are.
	terms    atomic.Pointer[tlsListener]
	phase    atomic.Int32 // a sessionPhase
	transfer *transfer    // of the exchange under way
	// mux is the connection once it speaks HTTP/2.
	mux atomic.Pointer[mux.Conn]
	// linger has the end of the connection wait until the client has read
	// what was sent.
	linger bool
	http2  bool // the client has chosen it, by ALPN or by its preface

	announces bool           // it must begin with a PROXY header
	counted   bool           // it counts for the client's address
	dialled   netip.AddrPort // by the client, as far as is known
}

// sessionPhase is what a session waits for.
type sessionPhase = int32

const (
	// active: a TLS handshake or an exchange is under way.
	active sessionPhase = iota
	// fresh: its first request. The client has not been served yet, so a drain
	// gives it a moment.
	fresh
	// idle: another request. The connection may be closed at any time.
	idle
	// stopped: a drain has found it fresh or idle.
	stopped
)

func newSession(p *Proxy, sh *shard, l *listener, nc net.Conn, addr netip.AddrPort, trusted bool) *session {
	return &session{
		proxy: p, shard: sh, listener: l, tcp: nc,
		conn: sock.NewConn(nc, p.clock, &sh.pool, p.hangups), dialled: addrPort(nc.LocalAddr()),
		peer: exchange.Peer{
			Addr: addr, Listener: l.id, PublicPort: l.public, Trusted: trusted,
			PublicPorts: l.siblings, Trusts: p.trusts,
		},
	}
}

// client is what endpoints that ask for it are told of whose connection this is.
func (s *session) client() upstream.Client {
	return upstream.Client{Addr: s.peer.Addr, Dialled: s.dialled}
}

// serve runs the connection from its first byte to its last. A panic ends this
// connection only.
func (s *session) serve() {
	defer s.end()
	if s.announces && !s.announced() || s.relayed() {
		return
	}
	if t := s.proxy.live.Load().tls[s.listener.id]; t != nil {
		if !s.handshake(t, t.config) {
			return
		}
	} else if !s.settle(plainText) {
		return
	}
	if !s.peer.TLS {
		var alive bool
		if s.http2, alive = s.startsHTTP2(); !alive {
			return
		}
	}
	if s.http2 {
		s.serveHTTP2()
		return
	}
	for first := s.peer.TLS; s.next(first); first = false {
	}
}

func (s *session) end() {
	if broken := recover(); broken != nil {
		s.linger = false
		s.proxy.panicked(broken)
		if s.transfer != nil {
			s.transfer.abandon()
		}
	}
	if s.linger {
		s.lingeringClose()
	}
	s.conn.Close()
	s.forget()
}

// forget gives the session's place back.
func (s *session) forget() {
	s.shard.remove(s)
	s.listener.stats.Closed.Add(s.shard.index, 1)
	s.proxy.givePlace(s.peer.Addr.Addr(), !s.counted)
}

// abort ends the connection at once.
func (s *session) abort() {
	if s.quic != nil {
		s.quic.Abort()
		return
	}
	s.conn.Abort()
}

// panicked counts a panic that was contained, and says so on standard error.
func (p *Proxy) panicked(broken any) {
	p.cfg.Metrics.Panics.Add(1)
	fmt.Fprintf(os.Stderr, "windrose: a defect ended one connection: %v\n%s", broken, debug.Stack())
}

// handshake lets the client in on terms, with the configuration that stands for
// them here.
func (s *session) handshake(terms *tlsListener, config *tls.Config) bool {
	start := s.proxy.clock.Now()
	s.conn.ReadBy(start + int64(s.proxy.cfg.Limits.HeaderTimeout))
	s.conn.LimitWrites(start, s.proxy.cfg.Limits.HeaderTimeout)
	conn := s.conn.WrapTLS(config)
	if err := conn.Handshake(); err != nil {
		s.listener.stats.HandshakeErrors.Add(s.shard.index, 1)
		s.logHandshake(start, err)
		return false
	}
	s.listener.stats.Handshakes.Add(s.shard.index, 1)
	state := conn.ConnectionState()
	if state.DidResume {
		s.listener.stats.Resumed.Add(s.shard.index, 1)
	}
	s.conn.EndHandshake()
	s.http2 = state.NegotiatedProtocol == "h2"
	s.identify(terms, state)
	return s.settle(terms)
}

// settle notes on what terms the client was let in. It returns false when those of
// the listener have changed meanwhile: whoever changes them looks at what is
// settled, and here is looked at what was changed before.
func (s *session) settle(terms *tlsListener) bool {
	s.terms.Store(terms)
	return !terms.outdated(s.proxy.live.Load().tls[s.listener.id])
}

// identify says who the client has shown to be in its handshake, and for whom it
// asked.
func (s *session) identify(t *tlsListener, state tls.ConnectionState) {
	s.peer.TLS = true
	s.peer.ClientCert = ForwardedClientCert(VerifiedClient(t.config, state), "")
	s.peer.ServerName = strings.ToLower(strings.TrimSuffix(state.ServerName, "."))
}

// limitReplies bounds the writes that TLS makes while a request is read:
// answers to key updates, which a client may ask for and not read.
func (s *session) limitReplies(now int64) {
	if s.peer.TLS {
		s.conn.LimitWrites(now, s.proxy.cfg.Limits.HeaderTimeout)
	}
}

// logHandshake says why a handshake failed. A client that left without a word,
// as load balancers do that only look whether the port is open, is not worth a
// line.
func (s *session) logHandshake(start int64, err error) {
	if errors.Is(err, io.EOF) {
		return
	}
	s.proxy.cfg.Log.Record(s.shard.index, &observe.Flow{
		Start: s.proxy.clock.Time(start), Duration: durationOf(start, s.proxy.clock.Now()),
		Client: s.peer.Addr, TLS: true, Outcome: reason.HandshakeFailed, Detail: err.Error(),
	})
}

// next serves one request. It returns whether there may be another.
func (s *session) next(first bool) bool {
	if s.conn.In == nil && !s.await(first) {
		return false
	}
	s.transfer = s.shard.transfers.Get().(*transfer)
	again := s.transfer.serveHTTP1(s)
	s.transfer.reset()
	s.shard.transfers.Put(s.transfer)
	s.transfer = nil
	return again
}

// await waits for the first byte of a request, holding no buffer.
func (s *session) await(first bool) bool { return s.awaitByte(first) == nil }

func (s *session) awaitByte(first bool) error {
	limit, phase := s.proxy.cfg.Limits.IdleTimeout, idle
	if first {
		limit, phase = s.proxy.cfg.Limits.HeaderTimeout, fresh
	}
	now := s.proxy.clock.Now()
	s.conn.LimitReads(now, limit)
	s.limitReplies(now)
	s.phase.Store(phase)
	if s.proxy.stopping.Load() {
		s.stop() // the drain may have passed by before
	}
	_, err := s.conn.Fill()
	if !s.phase.CompareAndSwap(phase, active) {
		<-s.proxy.stopped // from now on nobody interrupts
		s.phase.Store(active)
		s.conn.ForgetLimits()
	}
	return err
}

// drainFresh is how long a client that has connected and not been served yet
// may take to ask once the proxy has stopped accepting.
const drainFresh = time.Second

// stop has a session end that waits for a request, during a drain.
func (s *session) stop() {
	if conn := s.mux.Load(); conn != nil {
		conn.Leave(true)
		return
	}
	if s.quic != nil {
		s.quic.Leave(true)
		return
	}
	switch {
	case s.phase.CompareAndSwap(fresh, stopped):
		s.tcp.SetReadDeadline(time.Now().Add(drainFresh))
	case s.phase.CompareAndSwap(idle, stopped):
		s.conn.Interrupt()
	}
}

// scrapBytes is how much is read at a time of what nobody wants.
const scrapBytes = 4 << 10

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
	if s.conn.In != nil {
		s.conn.ReleaseIn() // a slow goodbye is no reason to turn others away
	}
	limits := s.proxy.cfg.Limits.Discard
	scrap, end := make([]byte, scrapBytes), time.Now().Add(limits.Time)
	for total := int64(0); total < limits.Bytes && time.Now().Before(end); {
		s.tcp.SetReadDeadline(time.Now().Add(limits.Pause))
		n, err := s.tcp.Read(scrap)
		if total += int64(n); err != nil {
			return
		}
	}
}
