package http3

import (
	"bytes"
	"slices"

	"windrose.dev/windrose/internal/proxy/msg"
)

// ownFields concern the connection and have no place in HTTP/3.
const ownFields = 1<<msg.Host | 1<<msg.Connection | 1<<msg.KeepAlive | 1<<msg.ProxyConnection |
	1<<msg.TransferEncoding | 1<<msg.Upgrade | 1<<msg.HTTP2Settings

// noTable says that a field section uses no dynamic table (RFC 9204 §4.5.1).
var noTable = []byte{0, 0}

// AppendAnswer writes the head of an answer, interim or final.
func AppendAnswer(dst []byte, h *msg.Head) []byte {
	start := len(dst)
	dst = appendStatus(append(dst, noTable...), h.Status)
	for i := range h.Fields {
		if f := &h.Fields[i]; !f.Dropped && ownFields&(1<<f.ID) == 0 {
			dst = appendField(dst, h.Name(f), h.Value(f))
		}
	}
	return frameSection(dst, start)
}

// AppendTrailer writes the trailer section, whose lines are as HTTP/1 has them.
func AppendTrailer(dst, lines []byte) []byte {
	start := len(dst)
	dst = append(dst, noTable...)
	for len(lines) > 0 {
		var line []byte
		line, lines, _ = bytes.Cut(lines, []byte("\r\n"))
		if name, value, found := bytes.Cut(line, []byte(":")); found {
			dst = appendField(dst, name, msg.TrimOWS(value))
		}
	}
	return frameSection(dst, start)
}

// frameSection puts the head of a frame before what stands from start on.
func frameSection(dst []byte, start int) []byte {
	var head [16]byte
	return slices.Insert(dst, start, appendFrameHead(head[:0], headersFrame, uint64(len(dst)-start))...)
}

// AppendData writes a piece of a body; nothing if it is empty.
func AppendData(dst, p []byte) []byte {
	if len(p) == 0 {
		return dst
	}
	return append(appendFrameHead(dst, dataFrame, uint64(len(p))), p...)
}

func appendStatus(dst []byte, status int) []byte {
	digits := [3]byte{byte('0' + status/100%10), byte('0' + status/10%10), byte('0' + status%10)}
	return appendField(dst, []byte(":status"), digits[:])
}

// secret tells whether a field is never to enter a table of anybody on the way
// (RFC 9204 §7.1.3).
func secret(name []byte) bool {
	switch string(name) {
	case "authorization", "proxy-authorization", "cookie", "set-cookie":
		return true
	}
	return false
}

// longestName bounds the names that are looked for in the static table.
const longestName = 32

// appendField writes a field as an entry of the static table, or as a literal
// (RFC 9204 §4.5). The name is written in lower case.
func appendField(dst, name, value []byte) []byte {
	var lower [longestName]byte
	if len(name) > longestName {
		return appendLiteral(dst, name, value)
	}
	short := lower[:len(name)]
	for i, c := range name {
		short[i] = toLower(c)
	}
	first, found := staticNames[string(short)]
	if !found {
		return appendLiteral(dst, short, value)
	}
	for i := int(first); i < len(static) && static[i].name == string(short); i++ {
		if static[i].value == string(value) {
			return appendInteger(append(dst, 0xc0), 6, i)
		}
	}
	prefix := byte(0x50)
	if secret(short) {
		prefix |= 0x20
	}
	return appendString(appendInteger(append(dst, prefix), 4, int(first)), value)
}

func appendLiteral(dst, name, value []byte) []byte {
	dst = appendInteger(append(dst, 0x20), 3, len(name))
	for _, c := range name {
		dst = append(dst, toLower(c))
	}
	return appendString(dst, value)
}

func toLower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// appendString writes a string literal as it is: Huffman coding would cost us
// more than it saves.
func appendString(dst, value []byte) []byte {
	return append(appendInteger(append(dst, 0), 7, len(value)), value...)
}

// appendInteger writes n with a prefix of so many bits, into the last byte of
// dst (RFC 7541 §5.1).
func appendInteger(dst []byte, bits, n int) []byte {
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
