package mux

import (
	"windrose.dev/windrose/internal/proxy/msg"
)

// receiver is the receiving side of a stream: header sections and a body. The
// connection's mutex guards its fields.
type receiver struct {
	waits
	headed  bool // the final header section was received
	viewed  bool // and Response has returned it
	interim []msg.Head
	body    body
	grew    int64
}

// Request makes head a view of the request's head and returns the limit that the
// request breaks, or nil. The view is valid until the stream is released.
func (s *receiver) Request(head *msg.Head) (fault *msg.Error) {
	head.View(&s.codec.Head)
	s.conn.mu.Lock() // what follows the head may break a limit too
	defer s.conn.mu.Unlock()
	return s.codec.Fault
}

// Protocol returns the :protocol of an extended CONNECT (RFC 8441), or an empty string.
func (s *receiver) Protocol() string { return s.codec.Protocol }

// BodyLength returns the length of the body that the peer sends, as declared or as
// received whole. It returns -1 if the length is unknown, and if there are trailers:
// these follow only a body of undeclared length.
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

// Broken returns why we reset the stream, or nil.
func (s *receiver) Broken() *msg.Error {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	return s.codec.Broken
}

// Trailer returns the field lines of the trailer section. It is valid once the body has
// ended.
func (s *receiver) Trailer() []byte { return s.codec.Trailer }

// Early takes what was received of the body, without waiting, and reports whether that
// is all of it. The data stays valid until the stream is released. Early can be called
// once.
func (s *receiver) Early() (data []byte, whole bool) {
	s.conn.lock()
	defer s.conn.unlock()
	data = s.body.keep()
	s.consumed(len(data))
	return data, s.codec.RecvEnded && s.body.empty()
}

// Wait waits for a header section, for more of the body, or for its end.
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

// Response makes head a view of the next response head, interim or final. It returns
// false if none was received yet.
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

// Data returns what was received of a body, and reports whether the body ends with it.
// The data stays valid until Took.
func (s *receiver) Data() (data []byte, last bool) {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	data = s.body.next()
	return data, s.codec.RecvEnded && s.body.length() == int64(len(data))
}

// Took releases what Data has returned, and lets the peer send more.
func (s *receiver) Took() {
	s.conn.lock()
	defer s.conn.unlock()
	s.consumed(s.body.drop(s.conn.pool))
}

// consumed opens the flow control windows by n bytes. Beyond that they grow as long as
// Config.Growth permits.
func (s *receiver) consumed(n int) {
	c := s.conn
	grew := c.codec.Consumed(&s.codec, int64(n), max(c.cfg.Growth.Load(), 0))
	if grew > 0 {
		s.grew += grew
		c.cfg.Growth.Add(-grew)
	}
}
