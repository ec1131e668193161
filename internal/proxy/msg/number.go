package msg

// MaxLength bounds the lengths of bodies and chunks, in bytes. It is far below the
// largest int64, so that sums of a few lengths do not overflow.
const MaxLength = 1 << 60

// ParseDecimal parses a number that consists of ASCII digits and is not larger than
// most. It rejects signs, spaces and the empty string, and any larger number, of any
// number of digits. Leading zeros are permitted. All decimal numbers that a peer sends
// are parsed here.
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

// AppendHexDigit appends a hexadecimal digit to n. ok is false if c is not a digit, or
// if the result would be larger than most. Chunk sizes are parsed by it, one digit at a
// time as they arrive (RFC 9112 §7.1).
func AppendHexDigit(n uint64, c byte, most uint64) (grown uint64, ok bool) {
	if !IsHex(c) {
		return n, false
	}
	return appendDigit(n, 16, uint64(HexValue(c)), most)
}

// appendDigit compares before it multiplies, so that nothing overflows, whatever most
// is.
func appendDigit(n, base, digit, most uint64) (uint64, bool) {
	if digit > most || n > (most-digit)/base {
		return n, false
	}
	return n*base + digit, true
}

// HexValue returns the value of a hexadecimal digit (see IsHex).
func HexValue(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c >= 'a':
		return c - 'a' + 10
	}
	return c - 'A' + 10
}

// ParseLength parses the value of Content-Length: one number (RFC 9110 §8.6), not
// larger than MaxLength.
func ParseLength(b []byte) (int64, bool) {
	n, ok := ParseDecimal(b, MaxLength)
	return int64(n), ok && len(b) <= 19
}

// ParseStatus parses a status code: three digits, from 100 to 599 (RFC 9110 §15).
func ParseStatus[T ~[]byte | ~string](text T) (int, bool) {
	n, ok := ParseDecimal(text, 599)
	return int(n), ok && len(text) == 3 && n >= 100
}

// ParsePort parses a port: up to five digits, at most 65535.
func ParsePort[T ~[]byte | ~string](text T) (uint16, bool) {
	n, ok := ParseDecimal(text, 1<<16-1)
	return uint16(n), ok && len(text) <= 5
}
