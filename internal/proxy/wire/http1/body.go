package http1

import (
	"bytes"

	"windrose.dev/windrose/internal/proxy/msg"
)

// maxChunkOverhead bounds the chunk extensions and the trailer section of one body, in
// bytes.
const maxChunkOverhead = 8 << 10

// Body decodes one body. NewBody makes it, and Compact decodes.
type Body struct {
	kind      Kind
	state     chunkState
	done      bool
	digits    uint8 // number of digits of the current chunk size so far
	remaining int64 // bytes left of the body, or of the chunk
	overhead  int   // bytes of extensions and trailers so far
	trailer   []byte
}

type chunkState uint8

const (
	inSize chunkState = iota
	inSizeSpace
	inExtension
	inSizeLF
	inData
	inDataCR
	inDataLF
	inTrailer
)

// NewBody returns the decoder for a body.
func NewBody(kind Kind, length int64) Body {
	return Body{kind: kind, remaining: length, done: kind == NoBody}
}

// Kind returns how the end of the body is found.
func (b *Body) Kind() Kind { return b.kind }

// Done reports whether the whole body was decoded.
func (b *Body) Done() bool { return b.done }

// Remaining returns the number of bytes left of a body whose kind is Length.
func (b *Body) Remaining() int64 { return b.remaining }

// EOF tells the decoder that the connection has ended. It reports whether that
// completes the body.
func (b *Body) EOF() bool {
	if b.kind == UntilClose {
		b.done = true
	}
	return b.done
}

// Trailer returns the checked lines of the trailer section, each with its CRLF. It is
// valid until the next use of the decoder.
func (b *Body) Trailer() []byte { return b.trailer }

// Compact decodes src in place: it moves the body's data to the front and returns how
// many bytes of data there are, and how many bytes of src were consumed. All of src is
// consumed unless the body ends in it; the bytes after the body belong to the next
// message and are not moved.
func (b *Body) Compact(src []byte) (data, taken int, err error) {
	switch {
	case b.done:
		return 0, 0, nil
	case b.kind == Chunked:
		return b.compactChunks(src)
	case b.kind == UntilClose:
		return len(src), len(src), nil
	}
	n := int(min(int64(len(src)), b.remaining))
	b.remaining -= int64(n)
	b.done = b.remaining == 0
	return n, n, nil
}

func (b *Body) compactChunks(src []byte) (data, taken int, err error) {
	for taken < len(src) && !b.done {
		if b.state == inData {
			n := int(min(int64(len(src)-taken), b.remaining))
			copy(src[data:], src[taken:taken+n])
			data, taken = data+n, taken+n
			if b.remaining -= int64(n); b.remaining == 0 {
				b.state = inDataCR
			}
			continue
		}
		if b.state == inTrailer {
			n, err := b.readTrailer(src[taken:])
			if err != nil {
				return data, taken, err
			}
			taken += n
			continue
		}
		if err := b.step(src[taken]); err != nil {
			return data, taken, err
		}
		taken++
	}
	return data, taken, nil
}

// step consumes one byte of the framing around chunk data.
func (b *Body) step(c byte) error {
	switch b.state {
	case inSize:
		return b.size(c)
	case inSizeSpace:
		if c == ';' {
			b.state = inExtension
			return nil
		}
		if c != ' ' && c != '\t' {
			return ErrChunkSize
		}
		return b.spend(ErrChunkExtension)
	case inExtension:
		return b.extension(c)
	case inSizeLF:
		return b.sizeEnd(c)
	case inDataCR:
		if c != '\r' {
			return ErrChunkEnd
		}
		b.state = inDataLF
	case inDataLF:
		if c != '\n' {
			return ErrChunkEnd
		}
		b.state, b.digits = inSize, 0
	}
	return nil
}

func (b *Body) size(c byte) error {
	switch {
	case msg.IsHex(c):
		n, ok := msg.AppendHexDigit(uint64(b.remaining), c, msg.MaxLength)
		if b.digits++; !ok || b.digits > 15 {
			return ErrChunkSize
		}
		b.remaining = int64(n)
		return nil
	case b.digits == 0:
		return ErrChunkSize
	case c == '\r':
		b.state = inSizeLF
	case c == ';':
		b.state = inExtension
	case c == ' ' || c == '\t':
		b.state = inSizeSpace
	default:
		return ErrChunkSize
	}
	return nil
}

func (b *Body) extension(c byte) error {
	switch {
	case c == '\r':
		b.state = inSizeLF
		return nil
	case c < ' ' && c != '\t' || c == 0x7f:
		return ErrChunkExtension
	}
	return b.spend(ErrChunkExtension)
}

func (b *Body) spend(err error) error {
	if b.overhead++; b.overhead > maxChunkOverhead {
		return err
	}
	return nil
}

func (b *Body) sizeEnd(c byte) error {
	if c != '\n' {
		return ErrChunkSize
	}
	b.state = inData
	if b.remaining == 0 {
		b.state = inTrailer
	}
	return nil
}

// readTrailer consumes complete or partial trailer lines; the empty line ends the body.
func (b *Body) readTrailer(src []byte) (int, error) {
	i := bytes.IndexByte(src, '\n')
	n := i + 1
	if i < 0 {
		n = len(src)
	}
	if b.overhead += n; b.overhead > maxChunkOverhead {
		return 0, ErrTrailer
	}
	if i >= 0 && len(b.trailer) == 0 && n == 2 && src[0] == '\r' {
		b.done = true // the usual case: there is no trailer section
		return n, nil
	}
	b.trailer = append(b.trailer, src[:n]...)
	if i < 0 {
		return n, nil
	}
	if !bytes.HasSuffix(b.trailer, []byte("\r\n")) {
		return n, ErrBareLF
	}
	if bytes.Equal(b.trailer, []byte("\r\n")) || bytes.HasSuffix(b.trailer, []byte("\r\n\r\n")) {
		var err error
		b.trailer, err = cleanTrailer(b.trailer[:len(b.trailer)-2])
		b.done = err == nil
		return n, err
	}
	return n, nil
}

var trailerLimits = msg.Limits{HeadBytes: 2 * maxChunkOverhead, Fields: 64}

// cleanTrailer checks trailer lines by the rules for header lines, and removes the
// fields that frame, route or authenticate (RFC 9110 §6.5.1).
func cleanTrailer(lines []byte) ([]byte, error) {
	var h msg.Head
	p := Parser{started: true}
	h.Buf = append(bytes.Clone(lines), '\r', '\n')
	n, err := p.read(&h, h.Buf, &trailerLimits, nil)
	if err == msg.ErrTooManyFields {
		err = ErrTrailer
	}
	if err != nil {
		return nil, err
	}
	if n != len(h.Buf) {
		return nil, ErrTrailer
	}
	for i := range h.Fields {
		f := &h.Fields[i]
		f.Dropped = !msg.MayTrail(f.ID, h.Name(f))
	}
	return AppendFields(lines[:0], &h), nil
}
