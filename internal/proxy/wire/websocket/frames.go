// Package websocket tracks the boundaries of WebSocket frames (RFC 6455 §5.2), so that
// a proxy can send a Close frame between two of them. It looks at nothing else and
// rejects nothing: what the peers send is up to them.
package websocket

import "encoding/binary"

// GoingAway is the Close frame of a server that shuts down (RFC 6455 §7.4.1, code
// 1001).
var GoingAway = []byte{0x80 | opClose, 2, 1001 >> 8, 1001 & 0xff}

const opClose = 8

// Frames tracks the frames in one direction. The zero value is at the start of a frame.
// It is not safe for concurrent use.
type Frames struct {
	head   [14]byte
	n      int    // bytes of the header so far
	left   uint64 // bytes of the payload
	closes bool   // the current frame is a Close frame
	closed bool
}

// Pass tracks bytes that are forwarded.
func (f *Frames) Pass(p []byte) {
	for len(p) > 0 {
		p = p[f.ToEnd(p):]
	}
}

// ToEnd tracks bytes up to the end of the current frame, or all of them if it does not
// end in p. It returns how many bytes those are.
func (f *Frames) ToEnd(p []byte) (n int) {
	for f.left == 0 && n < len(p) {
		f.head[f.n] = p[n]
		f.n++
		if n++; f.n == headLength(f.head[:f.n]) {
			if f.begin(); f.left == 0 {
				f.end()
				return n
			}
		}
	}
	payload := int(min(f.left, uint64(len(p)-n)))
	n += payload
	if f.left -= uint64(payload); f.left == 0 && payload > 0 {
		f.end()
	}
	return n
}

// Between reports whether the position is between two frames.
func (f *Frames) Between() bool { return f.n == 0 && f.left == 0 }

// Closed reports whether a Close frame was forwarded. Nothing may follow it.
func (f *Frames) Closed() bool { return f.closed }

// headLength returns the length of a frame header, of which at least one byte is
// present. If too few are present to know the length, the result is more than their
// number.
func headLength(head []byte) int {
	if len(head) < 2 {
		return 2
	}
	n := 2
	switch head[1] & 0x7f {
	case 126:
		n += 2
	case 127:
		n += 8
	}
	if head[1]&0x80 != 0 {
		n += 4
	}
	return n
}

// begin parses a complete frame header.
func (f *Frames) begin() {
	f.closes = f.head[0]&0x0f == opClose
	switch short := f.head[1] & 0x7f; short {
	case 126:
		f.left = uint64(binary.BigEndian.Uint16(f.head[2:]))
	case 127:
		f.left = binary.BigEndian.Uint64(f.head[2:])
	default:
		f.left = uint64(short)
	}
}

func (f *Frames) end() {
	f.n, f.closed = 0, f.closed || f.closes
}
