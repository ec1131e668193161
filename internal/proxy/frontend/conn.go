package frontend

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"

	"windrose.dev/windrose/internal/identity"
	"windrose.dev/windrose/internal/observe"
	"windrose.dev/windrose/internal/proxy/httpx"
	"windrose.dev/windrose/internal/proxy/l4"
	"windrose.dev/windrose/internal/proxy/mux"
	"windrose.dev/windrose/internal/proxy/policy"
	"windrose.dev/windrose/internal/proxy/sock"
	"windrose.dev/windrose/internal/proxy/upstream"
	"windrose.dev/windrose/internal/reason"
)

// conn is one client connection. One goroutine serves it.
type conn struct {
	httpx.Connection
	server   *Server
	listener *Listener
	sock     *sock.Conn
	tcp      net.Conn // below TLS
	// quic is the connection if it speaks HTTP/3, which then has neither sock nor
	// tcp.
	quic HTTP3Conn
	// facts are what has been found out so far; nil once the client was let in.
	facts *policy.Facts
	// admitted is the connection as it was let in; nil while that is not settled, and
	// for connections of layer 4.
	admitted atomic.Pointer[policy.Inbound]
	phase    atomic.Int32 // a connPhase
	// mux is the connection once it speaks HTTP/2.
	mux atomic.Pointer[mux.Conn]
	// linger has the end of the connection wait until the client has read
	// what was sent.
	linger bool
	http2  bool // the client has chosen it, by ALPN or by its preface

	proxied bool // it must begin with a PROXY header
	counted bool // it counts for the client's address
}

// connPhase is what a connection waits for.
type connPhase = int32

const (
	// active: a TLS handshake or an exchange is under way.
	active connPhase = iota
	// fresh: its first request. The client has not been served yet, so a drain
	// gives it a moment.
	fresh
	// idle: another request. The connection may be closed at any time.
	idle
	// stopped: a drain has found it fresh or idle.
	stopped
)

// serve runs the connection from its first byte to its last. A panic ends this
// connection only.
func (c *conn) serve() {
	defer c.end()
	if c.proxied && !c.readProxyHeader() || c.servedOnLayer4() {
		return
	}
	if t := c.listener.tls(); t != nil && !c.handshake(t, t.config) || !c.admit() {
		return
	}
	if !c.Peer.TLS {
		var alive bool
		if c.http2, alive = c.startsHTTP2(); !alive {
			return
		}
	}
	if c.http2 {
		streams{c}.serveHTTP2()
		return
	}
	for first := c.Peer.TLS; c.next(first); first = false {
	}
}

func (c *conn) end() {
	if broken := recover(); broken != nil {
		c.linger = false
		c.server.Engine.Panicked(broken)
	}
	if c.linger {
		c.lingeringClose()
	}
	c.sock.Close()
	c.forget()
}

// forget gives the connection's place back.
func (c *conn) forget() {
	c.server.remove(c)
	c.listener.Stats.Closed.Add(c.Shard.Index, 1)
	c.server.givePlace(c.Peer.Addr.Addr(), c.counted)
}

// abort ends the connection at once.
func (c *conn) abort() {
	if c.quic != nil {
		c.quic.Abort()
		return
	}
	c.sock.Abort()
}

// handshake takes a listener's TLS off the connection, with the configuration that
// stands for it here.
func (c *conn) handshake(t *ListenerTLS, config *tls.Config) bool {
	e, stats, shard := c.server.Engine, c.listener.Stats, c.Shard.Index
	start := e.Clock.Now()
	c.sock.ReadBy(start + int64(e.Limits.HeaderTimeout))
	c.sock.LimitWrites(start, e.Limits.HeaderTimeout)
	session := c.sock.WrapTLS(config)
	if err := session.Handshake(); err != nil {
		stats.HandshakeErrors.Add(shard, 1)
		c.recordHandshake(start, err)
		return false
	}
	stats.Handshakes.Add(shard, 1)
	state := session.ConnectionState()
	if state.DidResume {
		stats.Resumed.Add(shard, 1)
	}
	c.sock.EndHandshake()
	c.http2 = state.NegotiatedProtocol == "h2"
	c.facts.Handshake = t.shown(state)
	c.learn()
	return true
}

// shown is what a client has shown in a handshake.
func (t *ListenerTLS) shown(state tls.ConnectionState) *policy.Handshake {
	return &policy.Handshake{ServerName: state.ServerName, Peer: identity.PeerOf(VerifiedClient(t.config, state)), Asked: t.clients}
}

// learn has the connection be what the facts come to.
func (c *conn) learn() {
	c.Peer.Inbound = c.facts.Inbound(c.server.Trusts)
	c.Client = upstream.Client{Addr: c.Peer.Addr, Dialled: c.Peer.Dialled}
}

// admit lets the client in, or says why not. The connection is noted first: whoever
// changes what a listener asks for looks at what is noted, and here is looked at what
// was changed before.
func (c *conn) admit() bool {
	in := &c.Peer.Inbound
	c.facts = nil
	c.admitted.Store(in)
	v := c.listener.policy().Admit(in)
	if v.Outcome == reason.Denied {
		c.record(&observe.Flow{
			Kind: observe.Unserved, TLS: in.TLS, Host: l4.Host(in.ServerName, in.PublicPort),
			Outcome: v.Outcome, Policy: v.Policy, Verdict: observe.Denied, Detail: v.Detail,
		}, c.server.Engine.Clock.Now())
	}
	return v.Allowed()
}

// limitReplies bounds the writes that TLS makes while a request is read:
// answers to key updates, which a client may ask for and not read.
func (c *conn) limitReplies(now int64) {
	if c.Peer.TLS {
		c.sock.LimitWrites(now, c.server.Engine.Limits.HeaderTimeout)
	}
}

// recordHandshake says why a handshake failed. A client that left without a word,
// as load balancers do that only look whether the port is open, is not worth a
// line.
func (c *conn) recordHandshake(start int64, err error) {
	if errors.Is(err, io.EOF) {
		return
	}
	c.record(&observe.Flow{Kind: observe.Unserved, TLS: true, Outcome: reason.HandshakeFailed, Detail: err.Error()}, start)
}

// record records what never became an exchange, which began at start.
func (c *conn) record(f *observe.Flow, start int64) {
	e := c.server.Engine
	f.Start, f.Duration, f.Client = e.Clock.Time(start), e.Since(start), c.Peer.Addr
	f.Source.Identity = c.Peer.Identity.Name()
	e.Sink.Record(c.Shard.Index, f)
}

// next serves one request. It returns whether there may be another.
func (c *conn) next(first bool) bool {
	if c.sock.In == nil && c.await(first) != nil {
		return false
	}
	next := c.server.HTTP.ServeHTTP1(&c.Connection, c.sock)
	c.linger = next == httpx.Linger
	return next == httpx.KeepAlive
}

// await waits for the first byte of a request, holding no buffer.
func (c *conn) await(first bool) error {
	e := c.server.Engine
	limit, phase := e.Limits.IdleTimeout, idle
	if first {
		limit, phase = e.Limits.HeaderTimeout, fresh
	}
	now := e.Clock.Now()
	c.sock.LimitReads(now, limit)
	c.limitReplies(now)
	c.phase.Store(phase)
	if e.Stopping() {
		c.stop() // the drain may have passed by before
	}
	_, err := c.sock.Fill()
	if !c.phase.CompareAndSwap(phase, active) {
		<-e.Stopped() // from now on nobody interrupts
		c.phase.Store(active)
		c.sock.ForgetLimits()
	}
	return err
}

// drainFresh is how long a client that has connected and not been served yet
// may take to ask once the proxy has stopped accepting.
const drainFresh = time.Second

// stop has a connection end that waits for a request, during a drain.
func (c *conn) stop() {
	if conn := c.mux.Load(); conn != nil {
		conn.Leave(true)
		return
	}
	if c.quic != nil {
		c.quic.Leave(true)
		return
	}
	switch {
	case c.phase.CompareAndSwap(fresh, stopped):
		c.tcp.SetReadDeadline(time.Now().Add(drainFresh))
	case c.phase.CompareAndSwap(idle, stopped):
		c.sock.Interrupt()
	}
}

// prepareToStop asks the client of a draining proxy to open another connection.
func (c *conn) prepareToStop() {
	switch conn := c.mux.Load(); {
	case !c.server.Engine.Draining():
	case conn != nil:
		conn.Leave(false)
	case c.quic != nil:
		c.quic.Leave(false)
	}
}

// scrapBytes is how much is read at a time of what nobody wants.
const scrapBytes = 4 << 10

// lingeringClose ends our side and reads until the client has ended its own: a socket
// that is closed with unread bytes resets the connection, and the client may lose the
// answer (RFC 9112 §9.6).
func (c *conn) lingeringClose() {
	half, ok := c.tcp.(interface{ CloseWrite() error })
	if !ok {
		return
	}
	if session, ok := c.sock.Net().(*tls.Conn); ok {
		session.CloseWrite()
	}
	if half.CloseWrite() != nil {
		return
	}
	if c.sock.In != nil {
		c.sock.ReleaseIn() // a slow goodbye is no reason to turn others away
	}
	limits := c.server.Engine.Limits.Discard
	scrap, end := make([]byte, scrapBytes), time.Now().Add(limits.Time)
	for total := int64(0); total < limits.Bytes && time.Now().Before(end); {
		c.tcp.SetReadDeadline(time.Now().Add(limits.Pause))
		n, err := c.tcp.Read(scrap)
		if total += int64(n); err != nil {
			return
		}
	}
}
