package ingress

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// isHost tells whether a name can be a host of the model: a lower-case DNS name,
// perhaps with a wildcard as its first label, or * for any. The source has
// refused others; tombstones may still have them.
func isHost(name string) bool {
	return name == "*" || len(validation.IsDNS1123Subdomain(strings.TrimPrefix(name, "*."))) == 0
}

// canonicalPath writes a path as requests have it when they are matched: only
// what a path cannot hold as it is is percent-encoded, and runs of slashes are
// one slash. A path with dot segments has no such form.
func canonicalPath(path string) (string, bool) {
	var b strings.Builder
	last := byte(0)
	for i := 0; i < len(path); i++ {
		c := path[i]
		if c == '%' && i+2 < len(path) && isHex(path[i+1]) && isHex(path[i+2]) {
			c = unhex(path[i+1])<<4 | unhex(path[i+2])
			i += 2
		}
		switch {
		case c == '/' && last == '/':
			continue
		case unreserved(c) || strings.IndexByte("/!$&'()*+,;=:@", c) >= 0:
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(upperHex[c>>4])
			b.WriteByte(upperHex[c&15])
		}
		last = c
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
