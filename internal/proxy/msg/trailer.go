package msg

// neverTrailing are fields, besides those that the engine knows, that would
// authenticate, route or change the message if a recipient merged the trailer section
// into the header section.
var neverTrailing = [...]string{
	"authorization", "proxy-authorization", "www-authenticate", "proxy-authenticate", "authentication-info",
	"cookie", "set-cookie", "content-encoding", "content-range", "cache-control", "expires", "age", "vary",
	"location", "retry-after", "max-forwards", "range", "pragma", "warning",
	"if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range",
}

// MayTrail reports whether a field is permitted in a trailer section. Fields that
// frame, route or authenticate are not (RFC 9110 §6.5.1).
func MayTrail(id FieldID, name []byte) bool {
	if id != OtherField {
		return false
	}
	for _, never := range neverTrailing {
		if EqualFold(name, never) {
			return false
		}
	}
	return true
}
