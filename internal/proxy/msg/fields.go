package msg

// FieldID identifies a field that the engine knows.
type FieldID uint8

// The known fields. There are at most 64, so that a set of them is one word.
const (
	OtherField FieldID = iota
	Host
	Connection
	ContentLength
	TransferEncoding
	Expect
	Upgrade
	TE
	Trailer
	KeepAlive
	ProxyConnection
	HTTP2Settings
	Forwarded
	XForwardedFor
	XForwardedHost
	XForwardedPort
	XForwardedProto
	XForwardedScheme
	XForwardedPrefix
	XForwardedClientCert
	XOriginalForwardedFor
	XScheme
	XRealIP
	XRequestID
	Origin
	ContentType
	Cookie
	Date
	Proxy
	// Spoof is a field of Windrose's or Envoy's own, which only a trusted peer may
	// send.
	Spoof
	// Twin is a known field spelled with underscores. Many backends treat both
	// spellings as the same name, so a twin is never forwarded.
	Twin
)

// fieldRow is a row of the table of known fields.
type fieldRow struct {
	id   FieldID
	name string // lower case
	// identity fields say who the client is. They are believed only from trusted peers.
	identity bool
}

var fieldRows = [...]fieldRow{
	{Host, "host", false},
	{Connection, "connection", false},
	{ContentLength, "content-length", false},
	{TransferEncoding, "transfer-encoding", false},
	{Expect, "expect", false},
	{Upgrade, "upgrade", false},
	{TE, "te", false},
	{Trailer, "trailer", false},
	{KeepAlive, "keep-alive", false},
	{ProxyConnection, "proxy-connection", false},
	{HTTP2Settings, "http2-settings", false},
	{Forwarded, "forwarded", true},
	{XForwardedFor, "x-forwarded-for", true},
	{XForwardedHost, "x-forwarded-host", true},
	{XForwardedPort, "x-forwarded-port", true},
	{XForwardedProto, "x-forwarded-proto", true},
	{XForwardedScheme, "x-forwarded-scheme", true},
	{XForwardedPrefix, "x-forwarded-prefix", true},
	{XForwardedClientCert, "x-forwarded-client-cert", true},
	{XOriginalForwardedFor, "x-original-forwarded-for", true},
	{XScheme, "x-scheme", true},
	{XRealIP, "x-real-ip", true},
	{XRequestID, "x-request-id", false},
	{Origin, "origin", false},
	{ContentType, "content-type", false},
	{Cookie, "cookie", false},
	{Date, "date", false},
	{Proxy, "proxy", false},
}

// spoofPrefixes are prefixes of names that only we, or trusted peers, may send.
var spoofPrefixes = [...]string{"x-windrose-", "x-envoy-"}

// rowsByLength has the rows by the length of the name.
var rowsByLength = func() (table [32][]fieldRow) {
	for _, row := range fieldRows {
		table[len(row.name)] = append(table[len(row.name)], row)
	}
	return table
}()

// identityBits has a bit for each field that only trusted peers may send.
var identityBits = func() (bits uint64) {
	for _, row := range fieldRows {
		if row.identity {
			bits |= 1 << row.id
		}
	}
	return bits | 1<<Spoof
}()

// Identity reports whether only trusted peers may send this field.
func (id FieldID) Identity() bool { return identityBits&(1<<id) != 0 }

// Classify returns the id of a field name. underscore says whether the name contains an
// underscore, which the caller knows from checking the name.
func Classify(name []byte, underscore bool) FieldID {
	if underscore {
		return classifyTwin(name)
	}
	if len(name) < len(rowsByLength) {
		for _, row := range rowsByLength[len(name)] {
			if lower(name[0]) == row.name[0] && EqualFold(name, row.name) {
				return row.id
			}
		}
	}
	if hasSpoofPrefix(name) {
		return Spoof
	}
	return OtherField
}

func hasSpoofPrefix(name []byte) bool {
	if lower(name[0]) != 'x' {
		return false
	}
	for _, prefix := range spoofPrefixes {
		if len(name) > len(prefix) && EqualFold(name[:len(prefix)], prefix) {
			return true
		}
	}
	return false
}

// classifyTwin returns Twin if the name is that of a known field after replacing its
// underscores by hyphens.
func classifyTwin(name []byte) FieldID {
	var buf [64]byte
	if len(name) > len(buf) {
		return OtherField
	}
	twin := buf[:len(name)]
	for i, c := range name {
		if c == '_' {
			c = '-'
		}
		twin[i] = c
	}
	if Classify(twin, false) == OtherField {
		return OtherField
	}
	return Twin
}
