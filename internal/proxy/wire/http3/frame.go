package http3

// The frame types of RFC 9114 §7.2.
const (
	dataFrame        = 0x0
	headersFrame     = 0x1
	cancelPushFrame  = 0x3
	settingsFrame    = 0x4
	pushPromiseFrame = 0x5
	goAwayFrame      = 0x7
	maxPushIDFrame   = 0xd
)

// isHTTP2 reports whether a frame type is one of HTTP/2 that HTTP/3 forbids (RFC 9114
// §7.2.8).
func isHTTP2(kind uint64) bool { return kind == 0x2 || kind == 0x6 || kind == 0x8 || kind == 0x9 }

// maxVarint is the largest variable-length integer (RFC 9000 §16).
const maxVarint = 1<<62 - 1

// appendVarint appends a variable-length integer (RFC 9000 §16).
func appendVarint(dst []byte, v uint64) []byte {
	switch {
	case v < 1<<6:
		return append(dst, byte(v))
	case v < 1<<14:
		return append(dst, 0x40|byte(v>>8), byte(v))
	case v < 1<<30:
		return append(dst, 0x80|byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
	}
	return append(dst, 0xc0|byte(v>>56), byte(v>>48), byte(v>>40), byte(v>>32), byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
}

// Varint parses a variable-length integer at the start of p. n is its length in bytes,
// or 0 if it is incomplete.
func Varint(p []byte) (v uint64, n int) {
	if len(p) == 0 {
		return 0, 0
	}
	n = 1 << (p[0] >> 6)
	if len(p) < n {
		return 0, 0
	}
	v = uint64(p[0] & 0x3f)
	for _, c := range p[1:n] {
		v = v<<8 | uint64(c)
	}
	return v, n
}

// frameHead parses a frame header. n is its length in bytes, or 0 if it is incomplete.
func frameHead(p []byte) (kind, length uint64, n int) {
	kind, n = Varint(p)
	if n == 0 {
		return 0, 0, 0
	}
	length, m := Varint(p[n:])
	if m == 0 {
		return 0, 0, 0
	}
	return kind, length, n + m
}

func appendFrameHead(dst []byte, kind, length uint64) []byte {
	return appendVarint(appendVarint(dst, kind), length)
}
