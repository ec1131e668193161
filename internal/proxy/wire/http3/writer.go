package http3

import (
	"slices"

	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/wire/section"
)

// noTable is the prefix of a field section that uses no dynamic table (RFC 9204
// §4.5.1).
var noTable = []byte{0, 0}

// AppendAnswer appends the head of a response, interim or final.
func AppendAnswer(dst []byte, h *msg.Head) []byte {
	start := len(dst)
	dst = appendStatus(append(dst, noTable...), h.Status)
	for i := range h.Fields {
		if f := &h.Fields[i]; section.Carried(f) {
			dst = appendField(dst, h.Name(f), h.Value(f))
		}
	}
	return frameSection(dst, start)
}

// AppendTrailer appends the trailer section. The lines are in the form of HTTP/1.
func AppendTrailer(dst, lines []byte) []byte {
	start := len(dst)
	dst = append(dst, noTable...)
	for len(lines) > 0 {
		var name, value []byte
		if name, value, lines = section.CutLine(lines); len(name) > 0 {
			dst = appendField(dst, name, value)
		}
	}
	return frameSection(dst, start)
}

// frameSection inserts a frame header at start, in front of the field section.
func frameSection(dst []byte, start int) []byte {
	var head [16]byte
	return slices.Insert(dst, start, appendFrameHead(head[:0], headersFrame, uint64(len(dst)-start))...)
}

// AppendData appends a DATA frame; nothing if p is empty.
func AppendData(dst, p []byte) []byte {
	if len(p) == 0 {
		return dst
	}
	return append(appendFrameHead(dst, dataFrame, uint64(len(p))), p...)
}

func appendStatus(dst []byte, status int) []byte {
	digits := section.Digits(status)
	return appendField(dst, []byte(":status"), digits[:])
}

// appendField appends a field as an entry of the static table, or as a literal (RFC
// 9204 §4.5). The name is written in lower case.
func appendField(dst, name, value []byte) []byte {
	var lower [section.LongestName]byte
	short := section.Lower(&lower, name)
	first, found := staticNames[string(short)]
	if !found {
		dst = section.AppendInteger(append(dst, 0x20), 3, len(name))
		return section.AppendString(section.AppendLower(dst, name), value)
	}
	for i := int(first); i < len(static) && static[i].name == string(short); i++ {
		if static[i].value == string(value) {
			return section.AppendInteger(append(dst, 0xc0), 6, i)
		}
	}
	prefix := byte(0x50)
	if section.Secret(short) {
		prefix |= 0x20
	}
	return section.AppendString(section.AppendInteger(append(dst, prefix), 4, int(first)), value)
}
