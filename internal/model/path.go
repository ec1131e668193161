package model

import (
	"slices"
	"strings"
)

// CanonicalPath writes a path as requests have it when they are matched: runs
// of slashes are one slash, and what a URL cannot hold is percent-encoded. A
// path with dot segments has no such form.
func CanonicalPath(path string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		switch c := path[i]; {
		case c == '/' && i > 0 && path[i-1] == '/':
		case c == '%' && i+2 < len(path) && isHex(path[i+1]) && isHex(path[i+2]):
			decoded := unhex(path[i+1])<<4 | unhex(path[i+2])
			if unreserved(decoded) {
				b.WriteByte(decoded)
			} else {
				b.WriteString(strings.ToUpper(path[i : i+3]))
			}
			i += 2
		case unreserved(c) || strings.IndexByte("/!$&'()*+,;=:@", c) >= 0:
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(upperHex[c>>4])
			b.WriteByte(upperHex[c&15])
		}
	}
	segments := strings.Split(b.String(), "/")
	return b.String(), !slices.Contains(segments, ".") && !slices.Contains(segments, "..")
}

const upperHex = "0123456789ABCDEF"

func isHex(c byte) bool { return strings.IndexByte(upperHex, c&^0x20) >= 0 || c >= '0' && c <= '9' }

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c&^0x20 - 'A' + 10
}

// unreserved are the characters of RFC 3986 §2.3.
func unreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0
}
