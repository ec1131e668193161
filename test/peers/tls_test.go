//go:build peers

package peers

import (
	"crypto/tls"
	"crypto/x509"
	"testing"
)

// clientTLS returns a configuration that trusts a gateway's certificate.
func clientTLS(g *gateway) *tls.Config {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(g.cert.Chain)
	return &tls.Config{RootCAs: roots, ServerName: "shop.example.com"}
}

// dialTLS connects to a gateway over TLS; a nil config is that of clientTLS.
func dialTLS(t *testing.T, g *gateway, config *tls.Config) *tls.Conn {
	t.Helper()
	if config == nil {
		config = clientTLS(g)
	}
	conn := must[*tls.Conn](t)(tls.Dial("tcp", g.secure, config))
	t.Cleanup(func() { conn.Close() })
	return conn
}
