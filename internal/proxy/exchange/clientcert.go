package exchange

import (
	"strings"

	"windrose.dev/windrose/internal/identity"
)

const clientCertName = "X-Forwarded-Client-Cert"

// forwardedClientCert is what a backend may learn of a client's certificate:
// the value of X-Forwarded-Client-Cert, one element in Envoy's format. Clients cannot
// have set the field: identity fields of theirs are stripped.
func forwardedClientCert(peer *identity.Peer) []byte {
	b := appendQuoted([]byte("Hash="+peer.Hash+";Subject="), peer.Subject)
	for _, uri := range peer.URIs {
		b = appendValue(append(b, ";URI="...), uri)
	}
	for _, name := range peer.DNSNames {
		b = appendValue(append(b, ";DNS="...), name)
	}
	return b
}

// appendValue quotes a value that holds one of the format's separators.
func appendValue(b []byte, value string) []byte {
	if strings.ContainsAny(value, `,;="`) || strings.ContainsFunc(value, isControl) {
		return appendQuoted(b, value)
	}
	return append(b, value...)
}

// appendQuoted quotes a value. What no field can hold (RFC 9110 §5.5) becomes a
// question mark: an authority may sign any bytes.
func appendQuoted(b []byte, value string) []byte {
	b = append(b, '"')
	for _, c := range value {
		switch {
		case isControl(c):
			b = append(b, '?')
		case c == '\\' || c == '"':
			b = append(b, '\\', byte(c))
		default:
			b = append(b, byte(c))
		}
	}
	return append(b, '"')
}

func isControl(c rune) bool { return c < ' ' || c >= 0x7f }
