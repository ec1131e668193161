package grpcweb

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"

	"windrose.dev/windrose/internal/proxy/msg"
)

// trailerFlag marks the frame that holds the trailers.
const trailerFlag = 0x80

// Encoder encodes an answer's body: it adds the trailers as a frame, and for the
// text variant writes all in base64. Padding then stands behind whole messages
// alone, and never keeps one back. The zero value is ready for binary.
type Encoder struct {
	Text   bool
	frames frames
	group  [3]byte // a part of one
	n      int
}

// Recode appends what data, and at the end the trailer lines, become.
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

// appendText encodes the whole groups that there are.
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

// pad ends a run: what is there of a group is written, whole or with padding.
func (e *Encoder) pad(dst []byte) []byte {
	dst = base64.StdEncoding.AppendEncode(dst, e.group[:e.n])
	e.n = 0
	return dst
}

// appendTrailers makes a frame of trailer lines, with names in lower case.
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

// TakesTrailer tells that the trailers become a part of the body.
func (e *Encoder) TakesTrailer() bool { return true }

// Close does nothing: an Encoder holds nothing.
func (e *Encoder) Close() {}

// frames follows the frames of a body: a flag, four bytes of length, and a
// message of that length.
type frames struct {
	head [5]byte
	n    int // of head
	left uint32
}

// pass reports whether a frame ends where data does, which follows what has passed
// before.
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
