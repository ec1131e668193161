package http3

import (
	"context"
	"crypto/tls"
	"errors"
	"math"
	"net/netip"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"windrose.dev/windrose/internal/proxy/frontend"
	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/sock"
	"windrose.dev/windrose/internal/proxy/wire/budget"
	codec "windrose.dev/windrose/internal/proxy/wire/http3"
	"windrose.dev/windrose/internal/reason"
)

// goodbye is how long a connection waits, after its last GOAWAY, for the client to
// close it. Until then lost packets are retransmitted, and requests in flight are
// rejected with an error that permits the client to retry them elsewhere.
const goodbye = time.Second

// conn is a client connection.
type conn struct {
	l      *listener
	quic   *quic.Conn
	client netip.AddrPort
	began  *frontend.ListenerTLS
	server frontend.HTTP3Server
	pool   *sock.Pool
	work   sync.WaitGroup // the goroutines of the connection

	mu      sync.Mutex // guards the fields below
	control *quic.SendStream
	said    uint64 // the id in the last GOAWAY: streams from it on are rejected
	leaving bool   // it ends after its last stream
	streams int    // streams that are being served
	next    uint64 // the id of the next stream
	used    int64  // when the last stream ended, on the clock
	timer   *time.Timer
	broken  *msg.Error // the rule that the client broke
	has     [4]bool
	// Budgets for streams that ended by a reset, from either side, and for
	// unidirectional streams. The connection is closed when one is exhausted.
	resets, own budget.Budget
}

func newConn(l *listener, qc *quic.Conn) *conn {
	now := l.cfg.Clock.Now()
	return &conn{
		l: l, quic: qc, client: addrPort(qc.RemoteAddr()), said: math.MaxUint64, used: now,
		resets: budget.New(200, 50*time.Millisecond, now), own: budget.New(100, 100*time.Millisecond, now),
	}
}

// Client returns the address of the client when it connected.
func (c *conn) Client() netip.AddrPort { return c.client }

// Dialled returns the address that the client sends to. It is unspecified if the socket
// is bound to all addresses and the system does not report the address.
func (c *conn) Dialled() netip.AddrPort { return addrPort(c.quic.LocalAddr()) }

// TLS returns the result of the handshake.
func (c *conn) TLS() tls.ConnectionState { return c.quic.ConnectionState().TLS }

// ListenerTLS returns the TLS configuration that the handshake used.
func (c *conn) ListenerTLS() *frontend.ListenerTLS { return c.began }

// Run serves the connection until it ends. It returns the rule that the client broke,
// or nil.
func (c *conn) Run(server frontend.HTTP3Server, pool *sock.Pool) *msg.Error {
	defer c.l.ended(c.quic)
	c.server, c.pool = server, pool
	if err := c.begin(); err != nil {
		c.fail(&codec.ConnError{Code: codec.GeneralError, Text: "there is no room for our control stream (RFC 9114 §6.2)"})
	}
	c.work.Go(c.acceptOwn)
	for {
		qs, err := c.quic.AcceptStream(context.Background())
		if err != nil {
			break
		}
		c.accept(qs)
	}
	c.work.Wait()
	return c.end()
}

// begin opens our control stream.
func (c *conn) begin() error {
	control, err := c.quic.OpenUniStream()
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.control = control
	c.say(codec.AppendControl(nil, c.l.cfg.Limits.HeaderBytes))
	if c.said != math.MaxUint64 {
		c.say(codec.AppendGoAway(nil, c.said))
	}
	c.timer = time.AfterFunc(c.l.cfg.Limits.IdleTimeout, c.tick)
	c.rest()
	return nil
}

// say writes to our control stream. It never blocks: what the flow control window does
// not permit is dropped. The mutex is held.
func (c *conn) say(p []byte) {
	if c.control != nil {
		c.control.TryWriteAll(p)
	}
}

// end stops the timer, and returns the rule that the client broke, or nil.
func (c *conn) end() *msg.Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer != nil {
		c.timer.Stop()
	}
	var transport *quic.TransportError
	if c.broken == nil && errors.As(context.Cause(c.quic.Context()), &transport) && !transport.Remote {
		return &msg.Error{Outcome: reason.BadRequest, Text: transport.Error()}
	}
	return c.broken
}

// fail closes the connection because the client broke a rule.
func (c *conn) fail(err *codec.ConnError) {
	c.mu.Lock()
	if c.broken == nil {
		c.broken = &msg.Error{Outcome: outcomeOf(err.Code), Text: err.Error()}
	}
	c.mu.Unlock()
	c.quic.CloseWithError(quic.ApplicationErrorCode(err.Code), err.Text)
}

func outcomeOf(code codec.ErrorCode) reason.Outcome {
	switch code {
	case codec.ExcessiveLoad:
		return reason.ClientAbuse
	case codec.InternalError:
		return reason.InternalError
	}
	return reason.BadRequest
}

// Abort ends the connection at once.
func (c *conn) Abort() { c.quic.CloseWithError(quic.ApplicationErrorCode(codec.NoError), "") }

// Leave makes the connection end after its last stream.
func (c *conn) Leave(final bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := uint64(codec.LastID)
	if final {
		id, c.leaving = c.next, true
	}
	if id < c.said {
		c.said = id
		c.say(codec.AppendGoAway(nil, id))
	}
	c.rest()
}

// rest makes tick check the connection after the goodbye time, if it is leaving and has
// no stream. The mutex is held.
func (c *conn) rest() {
	if c.leaving && c.streams == 0 && c.timer != nil {
		c.timer.Reset(goodbye)
	}
}

// tick closes a connection that is leaving and has no stream. If the connection has
// been idle for too long, tick sends GOAWAY.
func (c *conn) tick() {
	c.mu.Lock()
	idle := c.l.cfg.Limits.IdleTimeout
	left := time.Duration(c.used + int64(idle) - c.l.cfg.Clock.Now())
	switch {
	case c.streams > 0:
		c.timer.Reset(idle)
	case c.leaving:
		defer c.Abort()
	case left > 0:
		c.timer.Reset(left)
	default:
		c.mu.Unlock()
		c.Leave(true)
		return
	}
	c.mu.Unlock()
}

// accept serves a stream, or rejects it after a GOAWAY.
func (c *conn) accept(qs *quic.Stream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := uint64(qs.StreamID())
	if c.leaving && id >= c.said {
		qs.CancelRead(quic.StreamErrorCode(codec.RequestRejected))
		qs.CancelWrite(quic.StreamErrorCode(codec.RequestRejected))
		qs.ReleaseStreamCredit()
		return
	}
	c.next = id + 4
	c.streams++
	c.work.Go(func() { c.serve(qs) })
}

func (c *conn) serve(qs *quic.Stream) {
	s := newStream(c, qs)
	defer func() {
		c.account(s)
		s.finish()
		s.recycle()
		qs.ReleaseStreamCredit()
		c.mu.Lock()
		c.streams--
		c.used = c.l.cfg.Clock.Now()
		c.rest()
		c.mu.Unlock()
	}()
	c.server.ServeHTTP3(s)
	s.discard()
}

// account closes the connection of a client if most of its streams end by a reset. Each
// stream that ends normally offsets one that was reset.
func (c *conn) account(s *stream) {
	c.mu.Lock()
	flood := false
	if s.broken || s.Gone() {
		flood = !c.resets.Spend(c.l.cfg.Clock.Now())
	} else {
		c.resets.Repay(1)
	}
	c.mu.Unlock()
	if flood {
		c.fail(&codec.ConnError{Code: codec.ExcessiveLoad, Text: "more streams that end in a reset than anyone needs"})
	}
}
