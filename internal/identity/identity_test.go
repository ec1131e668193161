package identity

import (
	"crypto/x509"
	"net/url"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]ID{
		"spiffe://cluster.local/ns/shop/sa/web": {"cluster.local", "shop", "web"},
		"spiffe://td_1-x/ns/a/sa/B.c":           {"td_1-x", "a", "B.c"},
		"":                                      {},
		"spiffe://cluster.local":                {},
		"spiffe://cluster.local/ns/shop/sa/web/x":                           {},
		"spiffe://cluster.local/ns//sa/web":                                 {},
		"spiffe://cluster.local/ns/../sa/web":                               {},
		"spiffe://cluster.local/ns/shop/sa/w%65b":                           {},
		"spiffe://Cluster.local/ns/shop/sa/web":                             {},
		"spiffe://user@cluster.local/ns/shop/sa/web":                        {},
		"spiffe://cluster.local:80/ns/shop/sa/web":                          {},
		"spiffe:///ns/shop/sa/web":                                          {},
		"https://cluster.local/ns/shop/sa/web":                              {},
		"SPIFFE://cluster.local/ns/shop/sa/web":                             {},
		"spiffe://cluster.local/ns/shop/sa/web?x":                           {},
		"spiffe://cluster.local/ns/" + strings.Repeat("a", MaxID) + "/sa/b": {},
	} {
		got, err := Parse(text)
		if got != want || (err == nil) != (want != ID{}) {
			t.Errorf("%.60s: %+v, %v", text, got, err)
		}
		if err == nil && got.String() != text {
			t.Errorf("%s is written %s", text, got)
		}
	}
}

func TestPeerOf(t *testing.T) {
	uris := func(all ...string) (out []*url.URL) {
		for _, text := range all {
			u, err := url.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, u)
		}
		return out
	}
	const web = "spiffe://cluster.local/ns/shop/sa/web"
	one := PeerOf(&x509.Certificate{Raw: []byte("x"), URIs: uris(web)})
	if one.ID != (ID{"cluster.local", "shop", "web"}) || one.Name() != web {
		t.Errorf("%+v", one)
	}
	two := PeerOf(&x509.Certificate{Raw: []byte("x"), URIs: uris(web, "spiffe://cluster.local/ns/shop/sa/admin")})
	if two.ID != (ID{}) {
		t.Errorf("a certificate with two SPIFFE IDs is %s", two.ID)
	}
	if none := PeerOf(nil); none != nil || none.Name() != "" {
		t.Errorf("nobody is %+v", none)
	}
}
