package msg

// Character classes of RFC 9110 §5.6.2 and RFC 9112.
const (
	tokenChar = 1 << iota
	hexChar
	targetChar
)

var charClass = func() (table [256]uint8) {
	for c := range 256 {
		switch {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f', c >= 'A' && c <= 'F':
			table[c] |= hexChar | tokenChar
		case c >= 'g' && c <= 'z', c >= 'G' && c <= 'Z':
			table[c] |= tokenChar
		}
		if c > ' ' && c < 0x7f && c != '#' {
			table[c] |= targetChar
		}
	}
	for _, c := range []byte("!#$%&'*+-.^_`|~") {
		table[c] |= tokenChar
	}
	return table
}()

// IsToken reports whether b is a token (RFC 9110 §5.6.2).
func IsToken(b []byte) bool {
	for _, c := range b {
		if charClass[c]&tokenChar == 0 {
			return false
		}
	}
	return len(b) > 0
}

// CheckName reports whether b is a field name, and whether it contains an underscore.
func CheckName(b []byte) (ok, underscore bool) {
	for _, c := range b {
		if charClass[c]&tokenChar == 0 {
			return false, false
		}
		underscore = underscore || c == '_'
	}
	return len(b) > 0, underscore
}

// IsTarget reports whether b is a valid request target: visible ASCII, without a
// fragment (RFC 9112 §3.2).
func IsTarget(b []byte) bool {
	for _, c := range b {
		if charClass[c]&targetChar == 0 {
			return false
		}
	}
	return len(b) > 0
}

// IsHex reports whether c is a hexadecimal digit.
func IsHex(c byte) bool { return charClass[c]&hexChar != 0 }

// IsValue reports whether b is a valid field value (RFC 9110 §5.5): no control
// characters except tab.
func IsValue(b []byte) bool {
	for len(b) >= 8 {
		w := uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
			uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
		if maybeControl(w) && !isValueSlow(b[:8]) {
			return false
		}
		b = b[8:]
	}
	return isValueSlow(b)
}

// maybeControl reports whether any of eight bytes may be below 0x20 or 0x7f. It has
// false positives, but no false negatives.
func maybeControl(w uint64) bool {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	below := (w - ones*0x20) & ^w & high
	del := w ^ ones*0x7f
	return below|((del-ones) & ^del & high) != 0
}

func isValueSlow(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// TrimOWS removes spaces and tabs at both ends.
func TrimOWS(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// NextToken returns the first element of a comma-separated list, and the rest of the
// list.
func NextToken(list []byte) (token, rest []byte) {
	for i, c := range list {
		if c == ',' {
			return TrimOWS(list[:i]), list[i+1:]
		}
	}
	return TrimOWS(list), nil
}

// HasToken reports whether a comma-separated list contains a token, compared
// case-insensitively.
func HasToken(list []byte, token string) bool {
	for len(list) > 0 {
		var one []byte
		if one, list = NextToken(list); EqualFold(one, token) {
			return true
		}
	}
	return false
}
