package http3

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/sock"
	codec "windrose.dev/windrose/internal/proxy/wire/http3"
	"windrose.dev/windrose/internal/reason"
)

// stream is one request and its response. One goroutine reads; one goroutine, the same
// or another, writes.
type stream struct {
	sock.Hangup
	conn   *conn
	quic   *quic.Stream
	reader codec.Reader

	in     *sock.Buffer // bytes that were received and not yet parsed
	out    []byte
	kept   []byte // the result of Early
	length int64  // of the body, or -1
	given  int    // bytes of in that readBody has returned
	ended  bool   // nothing more is received
	sent   bool   // nothing more is sent
	broken bool   // the client broke a rule on this stream
	// charged is the memory that quic-go may need for the unread body, in bytes.
	charged int64
	code    codec.ErrorCode

	unwatch     func() bool
	late        bool // watch has seen the client go, and may still use the stream
	interrupted atomic.Bool
}

// maxKept is the largest buffer that is kept for the next stream, in bytes.
const maxKept = 64 << 10

// streams is a pool of ended streams.
var streams = sync.Pool{New: func() any { return new(stream) }}

func newStream(c *conn, qs *quic.Stream) *stream {
	s := streams.Get().(*stream)
	s.conn, s.quic = c, qs
	s.reader.Reset(c.l.cfg.Limits.Head())
	s.unwatch = context.AfterFunc(qs.Context(), s.HungUp)
	return s
}

// recycle returns a finished stream to the pool, unless another goroutine may still use
// it.
func (s *stream) recycle() {
	if s.late || cap(s.out)+cap(s.kept)+cap(s.reader.Head.Buf) > maxKept {
		return
	}
	s.Renew()
	s.interrupted.Store(false)
	s.conn, s.quic, s.unwatch = nil, nil, nil
	s.given, s.ended, s.sent, s.broken, s.code = 0, false, false, false, 0
	streams.Put(s)
}

// Interrupt makes pending and later reads fail with os.ErrDeadlineExceeded.
func (s *stream) Interrupt() {
	s.interrupted.Store(true)
	s.quic.SetReadDeadline(time.Unix(1, 0))
}

// LimitReads makes reads fail with os.ErrDeadlineExceeded if they take longer than
// limit, counted from now.
func (s *stream) LimitReads(now int64, limit time.Duration) { s.ReadBy(now + int64(limit)) }

// LimitWrites bounds writes as LimitReads bounds reads.
func (s *stream) LimitWrites(now int64, limit time.Duration) { s.WriteBy(now + int64(limit)) }

// ReadBy sets the time on the clock after which reads fail.
func (s *stream) ReadBy(at int64) {
	if s.quic.SetReadDeadline(s.conn.l.cfg.Clock.Time(at)); s.interrupted.Load() {
		s.quic.SetReadDeadline(time.Unix(1, 0))
	}
}

// WriteBy sets the time on the clock after which writes fail.
func (s *stream) WriteBy(at int64) { s.quic.SetWriteDeadline(s.conn.l.cfg.Clock.Time(at)) }

// Request waits for the request.
func (s *stream) Request(head *msg.Head) (fault *msg.Error, ok bool) {
	cfg := &s.conn.l.cfg
	s.ReadBy(cfg.Clock.Now() + int64(cfg.Limits.HeaderTimeout))
	head.View(&s.reader.Head)
	err := s.readHead()
	if fault = s.reader.Fault; err == nil && fault == nil {
		err = s.readFirst()
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return msg.ErrHeadTimeout, true
	case err != nil:
		s.refuse(err)
		return nil, false
	}
	head.View(&s.reader.Head)
	if !s.ended && fault == nil {
		s.charged = firstStreamWindow // the growth of the window is charged elsewhere
		s.conn.pool.Charge(s.charged)
	}
	return fault, true
}

func (s *stream) readHead() error {
	for {
		used, done, err := s.reader.ReadHead(s.bytes())
		s.used(used)
		switch {
		case err != nil || done:
			return err
		case s.ended:
			return s.reader.End(len(s.bytes()))
		}
		if err := s.fill(); err != nil {
			return err
		}
	}
}

// readFirst reads what has been received of the body. For a method that seldom has a
// body it first waits for the body or the end of the stream: the end may arrive after
// the header section, and without it the backend would be sent a body.
func (s *stream) readFirst() error {
	for s.reader.Length < 0 && !s.ended && len(s.bytes()) == 0 && s.seldomHasBody() {
		if err := s.fill(); err != nil {
			return err
		}
	}
	n, err := s.readBody()
	if err != nil {
		return err
	}
	s.kept = append(s.kept[:0], s.bytes()[:n]...)
	if s.length = s.reader.Length; s.length < 0 && s.ended && len(s.reader.Trailer) == 0 {
		s.length = int64(n)
	}
	return nil
}

// seldomHasBody reports whether the method of the request defines no meaning for a body
// (RFC 9110 §9.3).
func (s *stream) seldomHasBody() bool {
	h := &s.reader.Head
	switch string(h.Bytes(h.Method)) {
	case "GET", "HEAD", "DELETE", "OPTIONS":
		return true
	}
	return false
}

// refuse ends a stream without a response, because of an error that permits none.
func (s *stream) refuse(err error) {
	var malformed *codec.StreamError
	var broken *codec.ConnError
	switch {
	case errors.As(err, &malformed):
		s.broken = true
		s.reset(malformed.Code)
		s.conn.server.Refused(malformed.Text)
	case errors.As(err, &broken):
		s.conn.fail(broken)
	default:
		s.broken = true
		s.reset(codec.RequestCancelled) // the client has gone
	}
}

// BodyLength returns the length of the body, or -1 if it is unknown.
func (s *stream) BodyLength() int64 { return s.length }

// Trailer returns the field lines of the trailer section.
func (s *stream) Trailer() []byte { return s.reader.Trailer }

// Early returns the part of the body that was received together with the head.
func (s *stream) Early() (data []byte, whole bool, err error) { return s.kept, s.ended, nil }

// More waits for more of the body.
func (s *stream) More() (data []byte, whole bool, err error) {
	for {
		if err := s.fill(); err != nil {
			return nil, false, err
		}
		n, err := s.readBody()
		if err != nil {
			return nil, false, s.blame(err)
		}
		if n > 0 || s.ended {
			return s.bytes()[:n], s.ended, nil
		}
	}
}

// readBody parses in, and returns the number of bytes of body, which stay in place
// until fill.
func (s *stream) readBody() (n int, err error) {
	if n, s.given, err = s.reader.Body(s.bytes()); err == nil && s.ended {
		err = s.reader.End(len(s.bytes()) - s.given)
	}
	return n, err
}

// blame turns an error of a read into one that says who caused it.
func (s *stream) blame(err error) error {
	var malformed *codec.StreamError
	var broken *codec.ConnError
	switch {
	case errors.As(err, &malformed):
		s.broken, s.code = true, malformed.Code
		return &msg.Error{Outcome: reason.BadRequest, Text: malformed.Text}
	case errors.As(err, &broken):
		s.conn.fail(broken)
	}
	return err
}

func (s *stream) bytes() []byte {
	if s.in == nil {
		return nil
	}
	return s.in.Bytes()
}

// used consumes n bytes of in.
func (s *stream) used(n int) {
	if s.in == nil {
		return
	}
	if s.in.Advance(n); s.in.Len() == 0 {
		s.conn.pool.Put(s.in)
		s.in = nil
	}
}

// fill consumes what readBody has returned, and reads more. While it waits with in
// empty it holds no buffer.
func (s *stream) fill() (err error) {
	s.used(s.given)
	s.given = 0
	if s.in == nil {
		var one [1]byte
		if _, err := s.quic.Peek(one[:]); err != nil {
			return s.over(err)
		}
		s.in = s.conn.pool.Get()
	}
	s.in.MakeRoom(2 * s.conn.l.cfg.Limits.HeaderBytes)
	n, err := s.quic.Read(s.in.Free())
	s.in.Wrote(n)
	return s.over(err)
}

// over handles the error that ended a read.
func (s *stream) over(err error) error {
	var reset *quic.StreamError
	switch {
	case errors.Is(err, io.EOF):
		s.ended = true
		s.quic.Read(make([]byte, 1)) // quic-go frees a stream once its end was read
		return nil
	case errors.As(err, &reset):
		s.HungUp()
	}
	return err
}

// Interim sends a 1xx response.
func (s *stream) Interim(head *msg.Head) (sent int, err error) {
	s.out = codec.AppendAnswer(s.out[:0], head)
	return s.quic.Write(s.out)
}

// Answer sends the head of the response and the first part of its body.
func (s *stream) Answer(head *msg.Head, data []byte, last bool, trailer []byte) (sent int, err error) {
	s.out = codec.AppendAnswer(s.out[:0], head)
	return s.send(data, last, trailer)
}

// Write sends more of the body.
func (s *stream) Write(data []byte, last bool, trailer []byte) (sent int, err error) {
	s.out = s.out[:0]
	return s.send(data, last, trailer)
}

func (s *stream) send(data []byte, last bool, trailer []byte) (sent int, err error) {
	if s.out = codec.AppendData(s.out, data); len(trailer) > 0 {
		s.out = codec.AppendTrailer(s.out, trailer)
	}
	if last {
		s.endWatch() // when we end the stream, quic-go cancels the watched context too
	}
	if _, err := s.quic.Write(s.out); err != nil {
		return 0, err
	}
	if last {
		s.sent = true
		s.quic.Close()
	}
	return len(data), nil
}

// endWatch stops watching for a client that goes away.
func (s *stream) endWatch() {
	if s.unwatch != nil {
		s.late = !s.unwatch()
		s.unwatch = nil
	}
}

// Abort resets the stream.
func (s *stream) Abort() {
	s.endWatch()
	s.reset(s.codeOr(codec.InternalError))
}

func (s *stream) reset(code codec.ErrorCode) {
	s.quic.CancelRead(quic.StreamErrorCode(code))
	s.quic.CancelWrite(quic.StreamErrorCode(code))
	s.ended, s.sent = true, true
}

func (s *stream) codeOr(otherwise codec.ErrorCode) codec.ErrorCode {
	if s.code != 0 {
		return s.code
	}
	return otherwise
}

// discard reads and drops the rest of a request whose response was sent before the
// request ended. A client may lose the response if it is told to stop sending (RFC 9114
// §4.1).
func (s *stream) discard() {
	if s.ended || !s.sent || s.broken {
		return
	}
	clock, limits := s.conn.l.cfg.Clock, s.conn.l.cfg.Limits.Discard
	s.interrupted.Store(false) // whoever interrupted it is done with the stream
	end := clock.Now() + int64(limits.Time)
	for total := int64(0); !s.ended && total <= limits.Bytes; {
		s.ReadBy(min(clock.Now()+int64(limits.Pause), end))
		data, _, err := s.More()
		if total += int64(len(data)); err != nil {
			return
		}
	}
}

// finish ends both directions of the stream, and releases what it held. A client that
// still sends is told with STOP_SENDING that the rest is not needed (RFC 9114 §4.1).
func (s *stream) finish() {
	s.endWatch()
	if !s.ended {
		s.quic.CancelRead(quic.StreamErrorCode(s.codeOr(codec.NoError)))
		s.ended = true
	}
	if !s.sent {
		s.quic.CancelWrite(quic.StreamErrorCode(s.codeOr(codec.InternalError)))
		s.sent = true
	}
	if s.in != nil {
		s.conn.pool.Put(s.in)
		s.in = nil
	}
	s.conn.pool.Charge(-s.charged)
	s.charged = 0
}
