package mux

import (
	"math"
	"os"
	"sync/atomic"
	"time"

	"windrose.dev/windrose/internal/proxy/wire/http2"
)

// waits is how a stream waits: for what it reads, for room to write, and how long.
type waits struct {
	conn *Conn
	// home is conn for the timer, which may fire for a stream that has moved on; nil
	// between two connections. It leaves one with that one's mutex held.
	home  atomic.Pointer[Conn]
	armed atomic.Int64 // when the timer fires, on the clock
	codec http2.Stream

	// What follows is guarded by the connection's mutex.
	reads, writes gate
	blocked       cause // of which writes wait; such streams are among Conn.blocked
	reserved      bool  // it has a place and no number yet
	timer         *time.Timer
	interrupted   bool
	err           error
}

// cause is what writes wait for.
type cause uint8

const (
	nothing   cause = iota
	forRoom         // in the output
	forWindow       // the connection's
	forPeer         // the stream's window, or the other side's settings
)

// Interrupt makes pending and later reads fail with os.ErrDeadlineExceeded. It
// may be called from any goroutine.
func (s *waits) Interrupt() {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	s.interrupted = true
	s.reads.signal()
	s.writes.signal() // whoever waits for settings is to read later
}

// LimitReads has reads fail with os.ErrDeadlineExceeded when they take longer
// than limit, counted from now.
func (s *waits) LimitReads(now int64, limit time.Duration) { s.ReadBy(now + int64(limit)) }

// LimitWrites bounds writes as LimitReads bounds reads.
func (s *waits) LimitWrites(now int64, limit time.Duration) { s.WriteBy(now + int64(limit)) }

// ReadBy has reads fail with os.ErrDeadlineExceeded from a time on the clock on.
func (s *waits) ReadBy(at int64) { s.limit(&s.reads, at) }

// WriteBy has writes fail with os.ErrDeadlineExceeded from a time on the clock
// on.
func (s *waits) WriteBy(at int64) { s.limit(&s.writes, at) }

func (s *waits) limit(g *gate, at int64) {
	s.conn.mu.Lock()
	g.until = at
	s.conn.mu.Unlock()
}

// wait waits at a gate. The mutex is held, and given back meanwhile.
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

// block has the next wait at writes end when what it waits for may have come.
func (s *waits) block(why cause) {
	if s.blocked == nothing {
		s.conn.blocked = append(s.conn.blocked, s)
	}
	s.blocked = why
}

// lacks is why less than everything could be sent.
func (s *waits) lacks() cause {
	switch {
	case s.conn.full():
		return forRoom
	case s.conn.codec.Window() <= 0 && s.codec.Window() > 0:
		return forWindow
	}
	return forPeer
}

// arm has the timer fire at a time, or before.
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

// expire ends the waits whose time has come. The timer is not stopped when a
// stream ends, and mostly fires for nobody.
func (s *waits) expire() {
	for done := false; !done; {
		s.armed.Store(0) // before it is known who to tell: the next may come just now
		c := s.home.Load()
		done = c == nil || s.expireAt(c)
	}
}

// expireAt ends the waits of a stream that is at c, and reports whether it is.
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
