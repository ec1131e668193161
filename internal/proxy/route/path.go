package route

import (
	"bytes"

	"windrose.dev/windrose/internal/proxy/msg"
)

// Path is the canonical form of a request path.
type Path struct {
	// Bytes is the canonical path (RFC 3986 §6.2.2): unreserved characters are decoded,
	// other escapes are in upper case, characters that are not valid in a path are
	// escaped, and dot segments are resolved. An encoded slash or backslash stays
	// encoded.
	Bytes []byte
	// DotsRemoved reports whether there were dot segments. The client's own bytes must
	// not be forwarded then.
	DotsRemoved bool
}

// Canonical returns the canonical form of a path that begins with a slash, or is a lone
// *. The result is path itself if that is canonical already, and otherwise lies in
// scratch, which is grown if necessary and returned for reuse. ok is false if the path
// has a NUL, escaped or not, or a % that is not followed by two hexadecimal digits.
func Canonical(path, scratch []byte) (p Path, grown []byte, ok bool) {
	if !needsWork(path) {
		return Path{Bytes: path}, scratch, true
	}
	scratch, ok = decodeUnreserved(scratch[:0], path)
	if !ok {
		return Path{}, scratch, false
	}
	n, removed := removeDots(scratch)
	return Path{Bytes: scratch[:n], DotsRemoved: removed}, scratch, true
}

// pathClass classifies the bytes of a path.
var pathClass = func() (table [256]uint8) {
	for c := range 256 {
		if b := byte(c); unreserved(b) || bytes.IndexByte([]byte("/!$&'()*+,;=:@"), b) >= 0 {
			table[c] = pathPlain // RFC 3986 §3.3
		}
	}
	table['.'] = pathDot
	return table
}()

const (
	pathOther uint8 = iota // is escaped, or must be
	pathPlain
	pathDot
)

// needsWork reports whether a path may differ from its canonical form: whether it has
// an escape, a character that must be escaped, or a segment that begins with a dot.
func needsWork(path []byte) bool {
	for i, c := range path {
		switch pathClass[c] {
		case pathOther:
			return true
		case pathDot:
			if i > 0 && path[i-1] == '/' {
				return true
			}
		}
	}
	return false
}

func decodeUnreserved(dst, path []byte) ([]byte, bool) {
	for i := 0; i < len(path); i++ {
		c := path[i]
		if c == 0 {
			return dst, false
		}
		if c != '%' {
			dst = appendPathByte(dst, c)
			continue
		}
		if i+2 >= len(path) || !msg.IsHex(path[i+1]) || !msg.IsHex(path[i+2]) {
			return dst, false
		}
		decoded := msg.HexValue(path[i+1])<<4 | msg.HexValue(path[i+2])
		switch {
		case decoded == 0:
			return dst, false
		case unreserved(decoded):
			dst = append(dst, decoded)
		default:
			dst = append(dst, '%', upperHex(path[i+1]), upperHex(path[i+2]))
		}
		i += 2
	}
	return dst, true
}

// appendPathByte appends a byte, escaped if it is not valid in a path, so that a rule
// matches all spellings of a path.
func appendPathByte(dst []byte, c byte) []byte {
	if pathClass[c] != pathOther {
		return append(dst, c)
	}
	const digits = "0123456789ABCDEF"
	return append(dst, '%', digits[c>>4], digits[c&15])
}

// unreserved reports whether c is an unreserved character (RFC 3986 §2.3).
func unreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
		c == '-' || c == '.' || c == '_' || c == '~'
}

func upperHex(c byte) byte {
	if c >= 'a' {
		return c - 'a' + 'A'
	}
	return c
}

// removeDots resolves dot segments in place (RFC 3986 §5.2.4) and returns the
// new length. A .. at the root stays at the root.
func removeDots(p []byte) (int, bool) {
	out, removed := 0, false
	for in := 0; in < len(p); {
		end := len(p) // the end of the segment that starts with the slash at in
		if i := bytes.IndexByte(p[in+1:], '/'); i >= 0 {
			end = in + 1 + i
		}
		last := end == len(p)
		switch segment := p[in+1 : end]; {
		case len(segment) == 1 && segment[0] == '.':
			removed = true
			out = endSlash(p, out, last)
		case len(segment) == 2 && segment[0] == '.' && segment[1] == '.':
			removed = true
			out = max(bytes.LastIndexByte(p[:out], '/'), 0)
			out = endSlash(p, out, last)
		default:
			out += copy(p[out:], p[in:end])
		}
		in = end
	}
	return out, removed
}

// endSlash keeps the slash in front of a final dot segment.
func endSlash(p []byte, out int, last bool) int {
	if !last {
		return out
	}
	p[out] = '/'
	return out + 1
}

// View is the form in which a block compares paths.
type View struct {
	// Decode decodes all escapes whose character is valid in a path, slashes too, and
	// resolves the dot segments that this produces.
	Decode bool
	// Merge merges runs of slashes into one.
	Merge bool
}

// Of returns the view of a canonical path: path itself, or a path in scratch, which is
// grown if necessary and returned for reuse.
func (v View) Of(path, scratch []byte) (seen, grown []byte) {
	if v.Decode && bytes.IndexByte(path, '%') >= 0 {
		scratch = decodeReserved(scratch[:0], path)
		n, _ := removeDots(scratch)
		path = scratch[:n]
	}
	if !v.Merge || !bytes.Contains(path, doubleSlash) {
		return path, scratch
	}
	scratch = mergeSlashes(scratch[:0], path)
	return scratch, scratch
}

// decodeReserved appends path to dst. All its escapes are complete, since Canonical has
// checked them.
func decodeReserved(dst, path []byte) []byte {
	for i := 0; i < len(path); i++ {
		c := path[i]
		if c == '%' {
			if decoded := msg.HexValue(path[i+1])<<4 | msg.HexValue(path[i+2]); pathClass[decoded] != pathOther {
				c = decoded
				i += 2
			}
		}
		dst = append(dst, c)
	}
	return dst
}

// mergeSlashes appends path to dst, which may share its memory.
func mergeSlashes(dst, path []byte) []byte {
	last := byte(0)
	for _, c := range path {
		if c != '/' || last != '/' {
			dst = append(dst, c)
		}
		last = c
	}
	return dst
}

var doubleSlash = []byte("//")
