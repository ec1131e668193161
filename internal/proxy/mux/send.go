package mux

import (
	"os"

	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/wire/http2"
)

// Ask sends the head of a request and the first part of its body, which is all of it if
// whole is true. sent is 0 if no byte can have been sent.
func (s *Stream) Ask(r *http2.Request, head *msg.Head, body []byte, whole bool, trailer []byte) (sent int, err error) {
	c := s.conn
	c.lock()
	defer c.unlock()
	if err := s.room(); err != nil {
		return 0, err
	}
	if err := s.begin(); err != nil {
		return 0, err
	}
	end := whole && !r.EndsApart && len(body)+len(trailer) == 0
	c.codec.SendRequest(&s.codec, r, head, end)
	if end || !whole && len(body) == 0 {
		return 1, nil
	}
	return 1, s.send(body, whole, trailer)
}

// Answer sends the head of a response and the first part of its body.
func (s *Stream) Answer(head *msg.Head, body []byte, last bool, trailer []byte) error {
	c := s.conn
	c.lock()
	defer c.unlock()
	if err := s.room(); err != nil {
		return err
	}
	end := last && len(body)+len(trailer) == 0
	c.codec.SendResponse(&s.codec, head, end)
	if end || len(body)+len(trailer) == 0 {
		return nil
	}
	return s.send(body, last, trailer)
}

// Write sends more of a body. If last is true, the body ends with it.
func (s *Stream) Write(body []byte, last bool, trailer []byte) error {
	s.conn.lock()
	defer s.conn.unlock()
	return s.send(body, last, trailer)
}

// errSentEnded is the error of a write after the end of the body.
var errSentEnded = &Error{http2.StreamClosed, "its end was sent already"}

// send queues a body, as the flow control windows and the output have room for it. The
// mutex is held.
func (s *Stream) send(body []byte, last bool, trailer []byte) error {
	c := s.conn
	end := last && len(trailer) == 0
	defer c.passOn()
	for {
		switch {
		case s.err != nil:
			return s.err
		case s.codec.SentEnded:
			return errSentEnded
		}
		body = body[c.codec.SendData(&s.codec, body, end):]
		if len(body) == 0 && (!end || s.codec.SentEnded) {
			break
		}
		c.passOn()
		s.block(s.lacks())
		if err := s.wait(&s.writes); err != nil {
			return err
		}
	}
	if last && !end {
		if err := s.room(); err != nil {
			return err
		}
		c.codec.SendTrailer(&s.codec, trailer)
	}
	return nil
}

// room waits until the output has room for a header section. Flow control does not
// bound these: a client that sends many requests and reads nothing would otherwise make
// us buffer any number of them. The mutex is held.
func (s *Stream) room() error {
	c := s.conn
	for s.err == nil && c.failed == nil && c.full() {
		if s.reserved && s.interrupted { // nothing was sent, and nothing will be
			return os.ErrDeadlineExceeded
		}
		s.block(forRoom)
		if err := s.wait(&s.writes); err != nil {
			return err
		}
	}
	return s.err
}

// Reset resets the stream with an error code, unless it has ended. Reads and writes
// then fail.
func (s *Stream) Reset(code http2.ErrorCode) {
	s.conn.lock()
	defer s.conn.unlock()
	s.conn.codec.Cancel(&s.codec, code)
	if s.codec.Dead && s.err == nil {
		s.err = &Error{code, "it was given up"}
		s.reads.signal()
		s.writes.signal()
	}
}

// Finish ends the server's use of the stream. It resets the stream if the response was
// not sent whole.
func (s *Stream) Finish() {
	s.conn.lock()
	defer s.conn.unlock()
	if !s.codec.SentEnded {
		s.conn.codec.Cancel(&s.codec, http2.NoError)
	}
}

// Reused reports whether the connection has carried a stream before this one.
func (s *Stream) Reused() bool { return s.codec.ID > 1 }

// Settled waits until the peer's SETTINGS are known.
func (s *Stream) Settled() error {
	s.conn.lock()
	defer s.conn.unlock()
	for !s.conn.codec.Settled() {
		switch {
		case s.conn.failed != nil:
			return &Error{http2.RefusedStream, "the connection has ended"}
		case s.interrupted:
			return os.ErrDeadlineExceeded
		}
		s.block(forPeer)
		if err := s.wait(&s.writes); err != nil {
			return err
		}
	}
	return nil
}

// TakesConnect reports whether the peer supports extended CONNECT (RFC 8441).
func (s *Stream) TakesConnect() bool {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	return s.conn.codec.TakesConnect()
}
