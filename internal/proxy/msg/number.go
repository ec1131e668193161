package msg

// MaxLength bounds the lengths of bodies and chunks, in bytes. It is far from the
// largest int64, so that sums of a few lengths do not wrap.
const MaxLength = 1 << 60

// ParseDecimal reads a whole number of ASCII digits that is at most most. It
// refuses signs, spaces, anything empty, and whatever is larger, however many
// digits it has. Leading zeros are digits like others. It is the one place where
// decimal numbers of a peer are read.
func ParseDecimal[T ~[]byte | ~string](text T, most uint64) (n uint64, ok bool) {
	for i := range len(text) {
		c := text[i]
		if c < '0' || c > '9' {
			return 0, false
		}
		if n, ok = appendDigit(n, 10, uint64(c-'0'), most); !ok {
			return 0, false
		}
	}
	return n, len(text) > 0
}

// AppendHexDigit puts one hexadecimal digit behind those of n. ok is false when c
// is none, or when the number would be larger than most. Chunk sizes are read by it
// (RFC 9112 §7.1), a digit at a time as they come.
func AppendHexDigit(n uint64, c byte, most uint64) (grown uint64, ok bool) {
	if !IsHex(c) {
		return n, false
	}
	return appendDigit(n, 16, uint64(HexValue(c)), most)
}

// appendDigit compares before it multiplies: nothing wraps, whatever most is.
func appendDigit(n, base, digit, most uint64) (uint64, bool) {
	if digit > most || n > (most-digit)/base {
		return n, false
	}
	return n*base + digit, true
}

// HexValue is the value of a hexadecimal digit (see IsHex).
func HexValue(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c >= 'a':
		return c - 'a' + 10
	}
	return c - 'A' + 10
}

// ParseLength reads the value of Content-Length: one number (RFC 9110 §8.6), at
// most MaxLength, of no more digits than that takes.
func ParseLength(b []byte) (int64, bool) {
	n, ok := ParseDecimal(b, MaxLength)
	return int64(n), ok && len(b) <= 19
}

// ParseStatus reads a status: three digits, from 100 to 599 (RFC 9110 §15).
func ParseStatus[T ~[]byte | ~string](text T) (int, bool) {
	n, ok := ParseDecimal(text, 599)
	return int(n), ok && len(text) == 3 && n >= 100
}

// ParsePort reads a port: up to five digits, at most 65535.
func ParsePort[T ~[]byte | ~string](text T) (uint16, bool) {
	n, ok := ParseDecimal(text, 1<<16-1)
	return uint16(n), ok && len(text) <= 5
}
