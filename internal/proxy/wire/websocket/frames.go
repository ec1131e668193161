// Package websocket finds where the frames of a WebSocket begin and end (RFC 6455
// §5.2), so that a proxy can say goodbye between two of them. It looks at nothing
// else, and refuses nothing: what peers say to each other is their affair.
package websocket

import "encoding/binary"

// GoingAway is the Close frame of a server that is going down (RFC 6455 §7.4.1,
// code 1001).
var GoingAway = []byte{0x80 | opClose, 2, 1001 >> 8, 1001 & 0xff}

const opClose = 8

// Frames follows what goes one way. Its zero value is at the start. It is not safe
// for concurrent use.
type Frames struct {
	head   [14]byte
	n      int    // bytes of head
	left   uint64 // of the payload
	closes bool   // the frame is a Close
	closed bool
}

// Pass takes note of bytes that go by.
func (f *Frames) Pass(p []byte) {
	for len(p) > 0 {
		p = p[f.ToEnd(p):]
	}
}

// ToEnd takes note of bytes up to the end of the frame that they are of, or of all
// of them if that is not among them, and returns how many those are.
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

// Between reports whether a frame has ended and no other has begun.
func (f *Frames) Between() bool { return f.n == 0 && f.left == 0 }

// Closed reports whether a Close frame has gone by, behind which nothing goes.
func (f *Frames) Closed() bool { return f.closed }

// headLength is that of a frame's head, of which there is at least one byte; as
// long as too little of it is there to tell, it is more than there is.
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

// begin reads a head that is complete.
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
