package secret

import (
	"crypto/x509"
	"testing"
)

// TestNames: a certificate covers what crypto/x509 says that it covers.
func TestNames(t *testing.T) {
	leaf := &x509.Certificate{DNSNames: []string{"a.example.com", "*.example.com", "B.Example.org", "*.a.b", "dot.example.net.", "w*.example.net", "*"}}
	names := namesOf(leaf.DNSNames)
	for _, host := range []string{
		"a.example.com", "b.example.com", "a.b.example.com", "example.com", "b.example.org", "c.example.org",
		"sample.example.com", "sample.a.b", "a.b", "dot.example.net", "www.example.net", "single", "*", "",
	} {
		if got, want := names.cover(host), leaf.VerifyHostname(host) == nil; got != want {
			t.Errorf("%q is covered: %t, want %t", host, got, want)
		}
	}
}
