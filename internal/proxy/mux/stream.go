package mux

import (
	"fmt"
	"math"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/sock"
	"windrose.dev/windrose/internal/proxy/wire/http2"
)

// Stream is one request and its answer. One goroutine reads; one goroutine, the
// same or another, writes.
type Stream struct {
	conn *Conn
	// home is conn for the timer, which may fire for a stream that has moved on; nil
	// between two connections. It leaves one with that one's mutex held.
	home  atomic.Pointer[Conn]
	armed atomic.Int64 // when the timer fires, on the clock
	codec http2.Stream
	sock.Hangup
	self sock.Partner
	run  func() // serve, made once: a method value would be an allocation each time

	// What follows is guarded by the connection's mutex.
	reads, writes gate
	blocked       cause // of which writes wait; such streams are among Conn.blocked
	reserved      bool  // it has a place and no number yet
	timer         *time.Timer
	interrupted   bool
	started       bool // there is somebody who will release it
	headed        bool // a final head has come
	viewed        bool // and was looked at
	interim       []msg.Head
	body          body
	grew          int64
	charged       int // bytes of heads
	err           error
}

// maxInterim bounds the interim answers that wait to be read.
const maxInterim = 16

// Error tells why a stream ended before its time.
type Error struct {
	Code http2.ErrorCode
	Text string
}

func (e *Error) Error() string { return fmt.Sprintf("%v: %s", e.Code, e.Text) }

func newStream(c *Conn) *Stream {
	s, _ := c.cfg.streams.Get().(*Stream)
	if s == nil {
		s = &Stream{reads: newGate(), writes: newGate()}
		s.codec.Owner = s
		s.self.Interrupt, s.run = s.Interrupt, s.serve
	}
	s.conn = c
	s.home.Store(c)
	return s
}

// serve has the request served, and releases the stream.
func (s *Stream) serve() {
	c := s.conn
	c.server.ServeStream(s)
	s.discard()
	s.release(true)
}

// discard drops the rest of a request that was answered before its end, and then
// resets the stream. RFC 9113 §8.1 lets a server reset it at once, and tells clients
// to keep the answer; curl 7.88, among others, does not.
func (s *Stream) discard() {
	s.conn.lock()
	defer s.conn.unlock()
	if s.codec.SentEnded {
		s.dropRest()
	}
	s.conn.codec.Cancel(&s.codec, http2.NoError)
}

// Discard reads and drops the rest of the request, within the bounds of Config.
func (s *Stream) Discard() {
	s.conn.lock()
	defer s.conn.unlock()
	s.dropRest()
}

// dropRest is Discard; the mutex is held.
func (s *Stream) dropRest() {
	c := s.conn
	s.interrupted = false // whoever did that is done with the stream
	limits, now := c.cfg.Discard, c.clock.Now()
	end := now + int64(limits.Time)
	s.reads.until = min(now+int64(limits.Pause), end)
	for total := int64(0); s.err == nil && !s.codec.RecvEnded && total <= limits.Bytes; {
		if s.body.empty() {
			if s.wait(&s.reads) != nil {
				return
			}
			continue
		}
		n := s.body.discard(c.pool)
		total += int64(n)
		c.codec.Consumed(&s.codec, int64(n), 0)
		s.reads.until = min(c.clock.Now()+int64(limits.Pause), end)
	}
}

// Close ends the stream, with a reset if it has not ended. It must not be used
// afterwards.
func (s *Stream) Close() { s.release(false) }

// Done gives back a stream that has ended, and that nobody can interrupt any
// more.
func (s *Stream) Done() { s.release(true) }

// release gives the stream back. With again it will serve another request.
func (s *Stream) release(again bool) {
	c := s.conn
	c.lock()
	if s.reserved {
		s.reserved = false
		c.reserved--
	}
	c.codec.Release(&s.codec)
	c.cfg.Growth.Add(s.grew)
	if s.blocked != nothing {
		c.blocked = slices.DeleteFunc(c.blocked, func(other *Stream) bool { return other == s })
		s.blocked = nothing
	}
	s.body.release(c.pool)
	s.charge(-s.charged)
	if again {
		s.recycle()
	}
	if c.idle() {
		c.rested = c.clock.Now()
	}
	if c.only {
		c.leave(true)
	}
	over := c.over() && !c.flushing
	c.unlock()
	if over {
		c.sock.Interrupt()
	}
	c.streams.Done()
}

// charge accounts for the memory of a head.
func (s *Stream) charge(n int) {
	s.charged += n
	s.conn.pool.Charge(int64(n))
}

// recycle makes the stream ready for another request. The mutex is held.
func (s *Stream) recycle() {
	s.home.Store(nil)
	s.codec.Reset()
	s.Renew()
	s.reads.until, s.writes.until = math.MaxInt64, math.MaxInt64
	s.interrupted, s.started, s.headed, s.viewed, s.err, s.grew = false, false, false, false, nil, 0
	clear(s.interim)
	s.interim = s.interim[:0]
	s.conn.cfg.streams.Put(s)
}

// Partner is s as another end's partner.
func (s *Stream) Partner() *sock.Partner { return &s.self }

// Interrupt makes pending and later reads fail with os.ErrDeadlineExceeded. It
// may be called from any goroutine.
func (s *Stream) Interrupt() {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	s.interrupted = true
	s.reads.signal()
	s.writes.signal() // whoever waits for settings is to read later
}

// LimitReads has reads fail with os.ErrDeadlineExceeded when they take longer
// than limit, counted from now.
func (s *Stream) LimitReads(now int64, limit time.Duration) { s.ReadBy(now + int64(limit)) }

// LimitWrites bounds writes as LimitReads bounds reads.
func (s *Stream) LimitWrites(now int64, limit time.Duration) { s.WriteBy(now + int64(limit)) }

// ReadBy has reads fail with os.ErrDeadlineExceeded from a time on the clock on.
func (s *Stream) ReadBy(at int64) { s.limit(&s.reads, at) }

// WriteBy has writes fail with os.ErrDeadlineExceeded from a time on the clock
// on.
func (s *Stream) WriteBy(at int64) { s.limit(&s.writes, at) }

func (s *Stream) limit(g *gate, at int64) {
	s.conn.mu.Lock()
	g.until = at
	s.conn.mu.Unlock()
}

// wait waits at a gate. The mutex is held, and given back meanwhile.
func (s *Stream) wait(g *gate) error {
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

// cause is what writes wait for.
type cause uint8

const (
	nothing   cause = iota
	forRoom         // in the output
	forWindow       // the connection's
	forPeer         // the stream's window, or the other side's settings
)

// block has the next wait at writes end when what it waits for may have come.
func (s *Stream) block(why cause) {
	if s.blocked == nothing {
		s.conn.blocked = append(s.conn.blocked, s)
	}
	s.blocked = why
}

// lacks is why less than everything could be sent.
func (s *Stream) lacks() cause {
	switch {
	case s.conn.full():
		return forRoom
	case s.conn.codec.Window() <= 0 && s.codec.Window() > 0:
		return forWindow
	}
	return forPeer
}

// arm has the timer fire at a time, or before.
func (s *Stream) arm(now, at int64) {
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
func (s *Stream) expire() {
	for done := false; !done; {
		s.armed.Store(0) // before it is known who to tell: the next may come just now
		c := s.home.Load()
		done = c == nil || s.expireAt(c)
	}
}

// expireAt ends the waits of a stream that is at c, and reports whether it is.
func (s *Stream) expireAt(c *Conn) bool {
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
