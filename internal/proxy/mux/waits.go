package mux

import (
	"math"
	"os"
	"sync/atomic"
	"time"

	"windrose.dev/windrose/internal/proxy/wire/http2"
)

// waits holds what a stream waits for, to read and to write, and its deadlines.
type waits struct {
	conn *Conn
	// home is conn, for the timer, which may fire after the stream was given to another
	// connection. It is nil while the stream is in the pool. It is set to nil under the
	// mutex of the connection that the stream leaves.
	home  atomic.Pointer[Conn]
	armed atomic.Int64 // when the timer fires, on the clock
	codec http2.Stream

	// The connection's mutex guards the fields below.
	reads, writes gate
	blocked       cause // what writes wait for; such streams are in Conn.blocked
	reserved      bool  // it has a place and no number yet
	timer         *time.Timer
	interrupted   bool
	err           error
}

// cause is what the writes of a stream wait for.
type cause uint8

const (
	nothing   cause = iota
	forRoom         // room in the output
	forWindow       // the connection's flow control window
	forPeer         // the stream's window, or the peer's SETTINGS
)

// Interrupt makes pending and later reads fail with os.ErrDeadlineExceeded. It
// may be called from any goroutine.
func (s *waits) Interrupt() {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	s.interrupted = true
	s.reads.signal()
	s.writes.signal() // a writer that waits for SETTINGS is about to read
}

// LimitReads makes reads fail with os.ErrDeadlineExceeded if they take longer than
// limit, counted from now.
func (s *waits) LimitReads(now int64, limit time.Duration) { s.ReadBy(now + int64(limit)) }

// LimitWrites bounds writes as LimitReads bounds reads.
func (s *waits) LimitWrites(now int64, limit time.Duration) { s.WriteBy(now + int64(limit)) }

// ReadBy sets the time on the clock after which reads fail with os.ErrDeadlineExceeded.
func (s *waits) ReadBy(at int64) { s.limit(&s.reads, at) }

// WriteBy sets the time on the clock after which writes fail with
// os.ErrDeadlineExceeded.
func (s *waits) WriteBy(at int64) { s.limit(&s.writes, at) }

func (s *waits) limit(g *gate, at int64) {
	s.conn.mu.Lock()
	g.until = at
	s.conn.mu.Unlock()
}

// wait waits at a gate. The caller holds the mutex, which is unlocked during the wait.
func (s *waits) wait(g *gate) error {
	c := s.conn
	switch now := c.clock.Now(); {
	case s.err != nil:
		return s.err
	case now >= g.until || g == &s.reads && s.interrupted:
		return os.ErrDeadlineExceeded
	default:
		s.arm(now, g.until)
	}
	g.waiting = true
	c.unlock()
	<-g.open
	c.lock()
	return nil
}

// block makes the next wait for writes end when its cause may be gone.
func (s *waits) block(why cause) {
	if s.blocked == nothing {
		s.conn.blocked = append(s.conn.blocked, s)
	}
	s.blocked = why
}

// lacks returns why not everything could be sent.
func (s *waits) lacks() cause {
	switch {
	case s.conn.full():
		return forRoom
	case s.conn.codec.Window() <= 0 && s.codec.Window() > 0:
		return forWindow
	}
	return forPeer
}

// arm makes the timer fire at the given time, or earlier.
func (s *waits) arm(now, at int64) {
	if armed := s.armed.Load(); at == math.MaxInt64 || armed > now && armed <= at {
		return
	}
	s.armed.Store(at)
	if s.timer == nil {
		s.timer = time.AfterFunc(time.Duration(at-now), s.expire)
		return
	}
	s.timer.Reset(time.Duration(at - now))
}

// expire ends the waits whose deadline has passed. The timer is not stopped when a
// stream ends, so it often fires when nobody waits.
func (s *waits) expire() {
	for done := false; !done; {
		s.armed.Store(0) // before home is read: the stream may move at any time
		c := s.home.Load()
		done = c == nil || s.expireAt(c)
	}
}

// expireAt ends the expired waits of the stream if it belongs to c, and reports whether
// it does.
func (s *waits) expireAt(c *Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.home.Load() != c {
		return false
	}
	now := c.clock.Now()
	for _, g := range [...]*gate{&s.reads, &s.writes} {
		switch {
		case !g.waiting:
		case now >= g.until:
			g.signal()
		default:
			s.arm(now, g.until)
		}
	}
	return true
}
