package mux

import (
	"fmt"
	"math"
	"slices"

	"windrose.dev/windrose/internal/proxy/sock"
	"windrose.dev/windrose/internal/proxy/wire/http2"
)

// Stream is one request and its response. One goroutine reads; one goroutine, the same
// or another, writes.
type Stream struct {
	receiver
	sock.Hangup
	self sock.Partner
	run  func() // serve, made once: a method value would be an allocation each time

	// The connection's mutex guards the fields below.
	started bool // it has a user, who will release it
	charged int  // bytes of header sections
}

// maxInterim bounds the interim responses that wait to be read.
const maxInterim = 16

// Error is the error of a stream that ended prematurely.
type Error struct {
	Code http2.ErrorCode
	Text string
}

func (e *Error) Error() string { return fmt.Sprintf("%v: %s", e.Code, e.Text) }

func newStream(c *Conn) *Stream {
	s, _ := c.cfg.streams.Get().(*Stream)
	if s == nil {
		s = &Stream{}
		s.reads, s.writes = newGate(), newGate()
		s.codec.Owner = s
		s.self.Interrupt, s.run = s.Interrupt, s.serve
	}
	s.conn = c
	s.home.Store(c)
	return s
}

// serve serves the request, and releases the stream.
func (s *Stream) serve() {
	c := s.conn
	c.server.ServeStream(s)
	s.discard()
	s.release(true)
}

// discard drops the rest of a request whose response was sent before the request ended,
// and then resets the stream. RFC 9113 §8.1 lets a server reset it at once, and tells
// clients to keep the response; curl 7.88, among others, does not.
func (s *Stream) discard() {
	s.conn.lock()
	defer s.conn.unlock()
	if s.codec.SentEnded {
		s.dropRest()
	}
	s.conn.codec.Cancel(&s.codec, http2.NoError)
}

// Discard reads and drops the rest of the request, within the bounds of Config.Discard.
func (s *Stream) Discard() {
	s.conn.lock()
	defer s.conn.unlock()
	s.dropRest()
}

// dropRest is Discard with the mutex held.
func (s *Stream) dropRest() {
	c := s.conn
	s.interrupted = false // whoever interrupted it is done with the stream
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

// Close ends the stream, with a reset if it has not ended. The stream must not be used
// afterwards.
func (s *Stream) Close() { s.release(false) }

// Done releases a stream that has ended, and that nobody can interrupt any more.
func (s *Stream) Done() { s.release(true) }

// release releases the stream. If again is true, it is reused for another request.
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
		c.blocked = slices.DeleteFunc(c.blocked, func(other *waits) bool { return other == &s.waits })
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

// charge accounts for the memory of a header section.
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

// Partner returns s as the partner of another connection or stream.
func (s *Stream) Partner() *sock.Partner { return &s.self }
