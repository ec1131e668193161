package model

import (
	"slices"
	"strings"
)

// CanonicalPath returns the path of a rule in the form in which requests are matched by a
// block with these settings (see Block): characters that a path cannot hold literally are
// percent-encoded (RFC 3986 §3.3). A path with dot segments has no such form; then it
// returns false.
func (b *Block) CanonicalPath(path string) (string, bool) {
	var out strings.Builder
	last := byte(0)
	for i := 0; i < len(path); i++ {
		c, escaped := path[i], false
		if c == '%' && i+2 < len(path) && isHex(path[i+1]) && isHex(path[i+2]) {
			c, escaped = unhex(path[i+1])<<4|unhex(path[i+2]), true
			i += 2
		}
		plain := unreserved(c) || strings.IndexByte("/!$&'()*+,;=:@", c) >= 0 && (!escaped || b.DecodeReserved)
		switch {
		case plain && c == '/' && last == '/' && b.MergeSlashes:
			continue
		case plain:
			out.WriteByte(c)
			last = c
		default:
			out.WriteString(string([]byte{'%', upperHex[c>>4], upperHex[c&15]}))
			last = '%'
		}
	}
	segments := strings.Split(out.String(), "/")
	return out.String(), !slices.Contains(segments, ".") && !slices.Contains(segments, "..")
}

const upperHex = "0123456789ABCDEF"

func isHex(c byte) bool { return strings.IndexByte(upperHex, c&^0x20) >= 0 || c >= '0' && c <= '9' }

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c&^0x20 - 'A' + 10
}

// unreserved reports whether c is an unreserved character of RFC 3986 §2.3.
func unreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0
}
