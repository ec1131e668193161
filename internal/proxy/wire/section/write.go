package section

import (
	"bytes"

	"windrose.dev/windrose/internal/proxy/msg"
)

// ownFields are fields that concern the connection and are not permitted here, or that
// become pseudo-header fields.
const ownFields = 1<<msg.Host | 1<<msg.Connection | 1<<msg.KeepAlive | 1<<msg.ProxyConnection |
	1<<msg.TransferEncoding | 1<<msg.Upgrade | 1<<msg.HTTP2Settings

// Carried reports whether a field of a head is written to a field section.
func Carried(f *msg.Field) bool { return !f.Dropped && ownFields&(1<<f.ID) == 0 }

// Secret reports whether a field must never be indexed by an intermediary (RFC 7541
// §7.1.3, RFC 9204 §7.1.3). name is in lower case.
func Secret(name []byte) bool {
	switch string(name) {
	case "authorization", "proxy-authorization", "cookie", "set-cookie":
		return true
	}
	return false
}

// CutLine returns the first field of a trailer section, whose lines are in the form of
// HTTP/1, and the rest. If the line is not a field, name is empty.
func CutLine(lines []byte) (name, value, rest []byte) {
	line, rest, _ := bytes.Cut(lines, []byte("\r\n"))
	name, value, found := bytes.Cut(line, []byte(":"))
	if !found {
		return nil, nil, rest
	}
	return name, msg.TrimOWS(value), rest
}

// LongestName bounds the names that are looked up in static tables, in bytes.
const LongestName = 32

// Lower returns name in lower case in buf, or nil if it is longer than LongestName.
func Lower(buf *[LongestName]byte, name []byte) []byte {
	if len(name) > LongestName {
		return nil
	}
	short := buf[:len(name)]
	for i, c := range name {
		short[i] = toLower(c)
	}
	return short
}

// AppendLower appends a name in lower case.
func AppendLower(dst, name []byte) []byte {
	for _, c := range name {
		dst = append(dst, toLower(c))
	}
	return dst
}

func toLower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// Digits returns the digits of a status code.
func Digits(status int) [3]byte {
	return [3]byte{byte('0' + status/100%10), byte('0' + status/10%10), byte('0' + status%10)}
}

// AppendString appends a string literal (RFC 7541 §5.2) without Huffman coding, which
// would cost more than it saves.
func AppendString(dst, value []byte) []byte {
	return append(AppendInteger(append(dst, 0), 7, len(value)), value...)
}

// AppendInteger appends n with a prefix of the given number of bits, which goes into
// the last byte of dst (RFC 7541 §5.1).
func AppendInteger(dst []byte, bits, n int) []byte {
	last, most := len(dst)-1, 1<<bits-1
	if n < most {
		dst[last] |= byte(n)
		return dst
	}
	dst[last] |= byte(most)
	for n -= most; n >= 0x80; n >>= 7 {
		dst = append(dst, byte(n)|0x80)
	}
	return append(dst, byte(n))
}
