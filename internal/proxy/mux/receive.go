package mux

import (
	"windrose.dev/windrose/internal/proxy/msg"
)

// receiver is what comes on a stream: heads, and a body. Its fields are guarded by the
// connection's mutex.
type receiver struct {
	waits
	headed  bool // a final head has come
	viewed  bool // and was looked at
	interim []msg.Head
	body    body
	grew    int64
}

// Request returns the request, of which head becomes a view that is valid until
// the stream is released, and how it breaks a limit.
func (s *receiver) Request(head *msg.Head) (fault *msg.Error) {
	head.View(&s.codec.Head)
	s.conn.mu.Lock() // what came behind the head may be at fault, too
	defer s.conn.mu.Unlock()
	return s.codec.Fault
}

// Protocol is what an extended CONNECT asks for (RFC 8441), or empty.
func (s *receiver) Protocol() string { return s.codec.Protocol }

// BodyLength is that of what the other side sends, as far as it is known: as it
// says, or as it has come. Otherwise it is -1, and where there are trailers, which
// go behind a body of no given length only.
func (s *receiver) BodyLength() int64 {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	switch {
	case s.codec.Length >= 0:
		return s.codec.Length
	case s.codec.Bodiless():
		return 0
	case s.codec.RecvEnded && len(s.codec.Trailer) == 0:
		return s.body.length()
	}
	return -1
}

// Broken is why we have reset the stream, or nil.
func (s *receiver) Broken() *msg.Error {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	return s.codec.Broken
}

// Trailer returns the lines behind the body that has come. It is valid once that
// has ended.
func (s *receiver) Trailer() []byte { return s.codec.Trailer }

// Early takes what has come of a body, without waiting, and reports whether that
// was all of it. It stays where it is until the stream is released, and can be
// called once.
func (s *receiver) Early() (data []byte, whole bool) {
	s.conn.lock()
	defer s.conn.unlock()
	data = s.body.keep()
	s.consumed(len(data))
	return data, s.codec.RecvEnded && s.body.empty()
}

// Wait waits for a head, for more of a body, or for its end.
func (s *receiver) Wait() error {
	s.conn.lock()
	defer s.conn.unlock()
	for s.body.empty() && !s.codec.RecvEnded && !(s.headed && !s.viewed) && len(s.interim) == 0 {
		if err := s.wait(&s.reads); err != nil {
			return err
		}
	}
	return nil
}

// Response makes head a view of the next answer's head. It returns false when
// there is none yet.
func (s *receiver) Response(head *msg.Head) bool {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	switch {
	case len(s.interim) > 0:
		*head = s.interim[0]
		s.interim = append(s.interim[:0], s.interim[1:]...)
	case s.headed:
		head.View(&s.codec.Head)
		s.viewed = true
	default:
		return false
	}
	return true
}

// Data returns what has come of a body, which stays where it is until Took, and
// reports whether the body ends with it.
func (s *receiver) Data() (data []byte, last bool) {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	data = s.body.next()
	return data, s.codec.RecvEnded && s.body.length() == int64(len(data))
}

// Took gives back what Data has returned, and lets the other side send more.
func (s *receiver) Took() {
	s.conn.lock()
	defer s.conn.unlock()
	s.consumed(s.body.drop(s.conn.pool))
}

// consumed opens the windows again. They grow as long as all connections
// together have room for it.
func (s *receiver) consumed(n int) {
	c := s.conn
	grew := c.codec.Consumed(&s.codec, int64(n), max(c.cfg.Growth.Load(), 0))
	if grew > 0 {
		s.grew += grew
		c.cfg.Growth.Add(-grew)
	}
}
