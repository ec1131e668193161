package http3

import (
	"errors"
	"io"

	"github.com/quic-go/qpack"

	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/wire/section"
)

// Reader parses a request stream. It keeps its memory for the next one.
type Reader struct {
	// Head is the head of the request; its buffer belongs to the Reader.
	Head msg.Head
	// Fault is the limit that the head exceeds, or nil. If it is set, nothing more can
	// be read.
	Fault *msg.Error
	// Length is the value of Content-Length, or -1.
	Length int64
	// Trailer has the checked lines of the trailer section, each with its CRLF.
	Trailer []byte

	limits  msg.Limits
	phase   phase
	kind    uint64 // the type of the current frame
	left    uint64 // bytes left of its payload
	got     int64  // bytes of the body
	decoder *qpack.Decoder
}

// phase says what was received of a request so far.
type phase uint8

const (
	nothing phase = iota
	headed
	trailed
)

// Reset makes r ready for another request.
func (r *Reader) Reset(limits msg.Limits) {
	buf := r.Head.Buf[:0]
	r.Head.Reset()
	r.Head.Buf, r.Head.Major, r.Head.Minor = buf, 3, 1
	decoder := r.decoder
	if decoder == nil {
		decoder = qpack.NewDecoder()
	}
	*r = Reader{Head: r.Head, Trailer: r.Trailer[:0], Length: -1, limits: limits, decoder: decoder}
}

// ReadHead parses the request's head at the start of p. It returns how many bytes it
// has used, even if the head is incomplete.
func (r *Reader) ReadHead(p []byte) (used int, done bool, err error) {
	for {
		if used += r.pass(p[used:]); r.left > 0 {
			return used, false, nil
		}
		kind, length, n := frameHead(p[used:])
		switch {
		case n == 0:
			return used, false, nil
		case kind != headersFrame:
			if err := r.begin(kind, length); err != nil {
				return used, false, err
			}
			used += n
		case length > uint64(r.limits.HeadBytes):
			r.Fault = msg.ErrHeadTooLong
			return used, true, nil
		case length > uint64(len(p)-used-n):
			return used, false, nil
		default:
			used += n
			r.phase = headed
			return used + int(length), true, r.readSection(p[used:used+int(length)], section.Request)
		}
	}
}

// Body moves the n bytes of the body that are in p to its start. used is the number of
// bytes that it has parsed; the rest must be passed again, followed by the next bytes.
func (r *Reader) Body(p []byte) (n, used int, err error) {
	for used < len(p) {
		if r.left > 0 {
			took := r.take(p[n:], p[used:])
			if used += took; r.kind == dataFrame {
				n += took
			}
			if r.Length >= 0 && r.got > r.Length {
				return n, used, malformed("more body than Content-Length says (RFC 9114 §4.1.2)")
			}
			continue
		}
		kind, length, size := frameHead(p[used:])
		if size == 0 {
			return n, used, nil
		}
		if kind == headersFrame {
			if size, err = r.readTrailer(p[used+size:], length, size); size == 0 || err != nil {
				return n, used, err
			}
		} else if err := r.begin(kind, length); err != nil {
			return n, used, err
		}
		used += size
	}
	return n, used, nil
}

// readTrailer parses the trailer section at the start of p. length and head are the
// lengths of the frame's payload and header. It returns the length of the whole frame,
// or 0 if it is incomplete.
func (r *Reader) readTrailer(p []byte, length uint64, head int) (size int, err error) {
	switch {
	case r.phase == trailed:
		return 0, broken(FrameUnexpected, "HEADERS behind the trailer section (RFC 9114 §4.1)")
	case length > uint64(r.limits.HeadBytes):
		return 0, &StreamError{ExcessiveLoad, msg.ErrHeadTooLong.Text}
	case length > uint64(len(p)):
		return 0, nil
	}
	r.phase = trailed
	return head + int(length), r.readSection(p[:length], section.Trailer)
}

// begin handles the header of a frame without a field section.
func (r *Reader) begin(kind, length uint64) error {
	switch {
	case kind == dataFrame && r.phase == nothing:
		return broken(FrameUnexpected, "DATA before the head (RFC 9114 §4.1)")
	case kind == dataFrame && r.phase == trailed:
		return broken(FrameUnexpected, "DATA behind the trailer section (RFC 9114 §4.1)")
	case kind == cancelPushFrame, kind == settingsFrame, kind == pushPromiseFrame, kind == goAwayFrame, kind == maxPushIDFrame:
		return broken(FrameUnexpected, "a frame that has no place on a request stream (RFC 9114 §7.2)")
	case isHTTP2(kind):
		return broken(FrameUnexpected, "a frame of HTTP/2 (RFC 9114 §7.2.8)")
	}
	r.kind, r.left = kind, length
	return nil
}

// pass skips payload of a frame of unknown type (RFC 9114 §9).
func (r *Reader) pass(p []byte) int {
	n := min(r.left, uint64(len(p)))
	r.left -= n
	return int(n)
}

// take moves the part of the frame's payload that is in src to dst, if the frame is
// DATA.
func (r *Reader) take(dst, src []byte) int {
	if r.kind != dataFrame {
		return r.pass(src)
	}
	n := int(min(r.left, uint64(len(src))))
	copy(dst, src[:n])
	r.left -= uint64(n)
	r.got += int64(n)
	return n
}

// End handles the end of the stream. rest is the number of bytes that were received and
// not used.
func (r *Reader) End(rest int) error {
	switch {
	case r.left > 0 || rest > 0:
		return broken(FrameError, "a stream that ends within a frame (RFC 9114 §7.1)")
	case r.phase == nothing:
		return &StreamError{RequestIncomplete, "a stream that ends before the head (RFC 9114 §4.1)"}
	case r.Length >= 0 && r.got != r.Length:
		return malformed("less body than Content-Length says (RFC 9114 §4.1.2)")
	}
	return nil
}

// readSection decodes a field section (RFC 9204 §4.5).
func (r *Reader) readSection(p []byte, kind section.Kind) error {
	s := section.Section{Kind: kind, Limits: &r.limits, Head: &r.Head, Lines: r.Trailer, Length: r.Length}
	for next := r.decoder.Decode(p); ; {
		f, err := next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return broken(DecompressionFailed, "a field section that cannot be decoded (RFC 9204 §2.2)")
		}
		if s.Fault == nil && s.Malformed == "" {
			s.Add(f.Name, f.Value)
		}
	}
	s.End()
	r.Trailer, r.Length = s.Lines, s.Length
	switch {
	case s.Malformed != "":
		return malformed(s.Malformed)
	case s.Fault != nil && kind == section.Trailer:
		return &StreamError{ExcessiveLoad, s.Fault.Text}
	case s.Fault != nil:
		r.Fault = s.Fault
	case kind == section.Request && (s.Scheme == "https" || s.Scheme == "http") && len(r.Head.Get(msg.Host)) == 0:
		return malformed("a request without an authority (RFC 9114 §4.3.1)")
	}
	return nil
}
