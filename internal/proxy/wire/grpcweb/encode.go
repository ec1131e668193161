package grpcweb

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"

	"windrose.dev/windrose/internal/proxy/msg"
)

// trailerFlag marks the frame with the trailers.
const trailerFlag = 0x80

// Encoder encodes a response body: it appends the trailers as a frame, and for the text
// variant encodes everything in base64. Padding is written only after complete
// messages, so that no message is delayed. The zero value is ready for the binary
// variant.
type Encoder struct {
	Text   bool
	frames frames
	group  [3]byte // an incomplete group
	n      int
}

// Recode appends the encoding of data, and at the end that of the trailer lines.
func (e *Encoder) Recode(dst, data []byte, last bool, trailer []byte) ([]byte, error) {
	if e.Text {
		dst = e.appendText(dst, data)
		if whole := e.frames.pass(data); whole || last {
			dst = e.pad(dst)
		}
	} else {
		dst = append(dst, data...)
	}
	if !last || len(trailer) == 0 {
		return dst, nil
	}
	if !e.Text {
		return appendTrailers(dst, trailer), nil
	}
	return e.pad(e.appendText(dst, appendTrailers(nil, trailer))), nil
}

// appendText encodes the complete groups.
func (e *Encoder) appendText(dst, data []byte) []byte {
	if e.n > 0 {
		taken := copy(e.group[e.n:], data)
		data = data[taken:]
		if e.n += taken; e.n < len(e.group) {
			return dst
		}
		dst = e.pad(dst)
	}
	whole := len(data) / 3 * 3
	e.n = copy(e.group[:], data[whole:])
	return base64.StdEncoding.AppendEncode(dst, data[:whole])
}

// pad ends a base64 string: it writes the incomplete group, with padding.
func (e *Encoder) pad(dst []byte) []byte {
	dst = base64.StdEncoding.AppendEncode(dst, e.group[:e.n])
	e.n = 0
	return dst
}

// appendTrailers appends the trailer lines as a frame, with names in lower case.
func appendTrailers(dst, lines []byte) []byte {
	dst = append(dst, trailerFlag, 0, 0, 0, 0)
	start := len(dst)
	for len(lines) > 0 {
		var line []byte
		line, lines, _ = bytes.Cut(lines, []byte("\r\n"))
		name, value, found := bytes.Cut(line, []byte{':'})
		if !found {
			continue
		}
		for _, c := range name {
			if 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
			dst = append(dst, c)
		}
		dst = append(append(append(dst, ": "...), msg.TrimOWS(value)...), '\r', '\n')
	}
	binary.BigEndian.PutUint32(dst[start-4:], uint32(len(dst)-start))
	return dst
}

// TakesTrailer returns true: the trailers become a part of the body.
func (e *Encoder) TakesTrailer() bool { return true }

// Close does nothing: an Encoder holds no resources.
func (e *Encoder) Close() {}

// frames tracks the frames of a body: a flag, four bytes of length, and a message of
// that length.
type frames struct {
	head [5]byte
	n    int // bytes of head so far
	left uint32
}

// pass processes the next bytes of the body, and reports whether a frame ends with
// them.
func (f *frames) pass(data []byte) (whole bool) {
	for len(data) > 0 {
		if f.n < len(f.head) {
			taken := copy(f.head[f.n:], data)
			data = data[taken:]
			if f.n += taken; f.n < len(f.head) {
				return false
			}
			f.left = binary.BigEndian.Uint32(f.head[1:])
		}
		taken := min(uint32(min(len(data), 1<<31)), f.left)
		data = data[taken:]
		if f.left -= taken; f.left == 0 {
			f.n = 0
		}
	}
	return f.n == 0
}
