package exchange

import (
	"testing"

	"windrose.dev/windrose/internal/identity"
)

// TestForwardedClientCert: what an authority may sign cannot end the field, or look like
// another element of it.
func TestForwardedClientCert(t *testing.T) {
	got := string(forwardedClientCert(&identity.Peer{
		Hash:     "0a1b",
		Subject:  "CN=a \\\"quoted\\\" name\r\nX-Evil: 1,O=Shop\\, Inc",
		DNSNames: []string{"client.example.com"},
		URIs:     []string{"spiffe://example.com/ns/shop/sa/cart", "https://example.com/a;b"},
	}))
	const want = `Hash=0a1b;Subject="CN=a \\\"quoted\\\" name??X-Evil: 1,O=Shop\\, Inc";URI=spiffe://example.com/ns/shop/sa/cart;URI="https://example.com/a;b";DNS=client.example.com`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
