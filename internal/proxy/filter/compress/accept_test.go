package compress

import (
	"testing"
)

// The examples of RFC 9110 §12.5.3 and §12.4.2, and what browsers and tools send.
func TestAccept(t *testing.T) {
	offered := []string{"zstd", "br", "gzip"}
	tests := []struct {
		accept, want string
		refuses      bool
	}{
		{"", "", false},
		{"compress, gzip", "gzip", false},
		{"*", "zstd", false},
		{"compress;q=0.5, gzip;q=1.0", "gzip", false},
		{"gzip;q=1.0, identity; q=0.5, *;q=0", "gzip", false},
		{"gzip, deflate, br, zstd", "zstd", false},
		{"gzip, deflate, br", "br", false},
		{"br;q=0.9, gzip", "gzip", false},
		{"br;q=0.001, gzip;q=0.002", "gzip", false},
		{"GZIP", "gzip", false},
		{"x-gzip", "gzip", false},
		{"identity", "", false},
		{"identity, gzip;q=0.5", "", false},
		{"identity;q=0.5, gzip;q=0.5", "gzip", false},
		{"identity;q=0", "", true},
		{"identity;q=0, *", "zstd", true},
		{"*;q=0", "", true},
		{"*;q=0, identity", "", false},
		{"*;q=0.1, zstd;q=0", "br", false},
		{"gzip;q=0", "", false},
		{"gzip;q=0.000, br;q=0.", "", false},
		{"deflate", "", false},
		{"gzip;q=2, br;q=1.001, zstd;q=0.1234", "", false},
		{"gzip;q=, br;q=x, zstd;level=1", "", false},
		{"\t gzip \t;\tQ=0.5 ,, ,", "gzip", false},
		{"gzip, gzip;q=0", "gzip", false},
	}
	f := newOffer(offered...)
	for _, tt := range tests {
		w := parseAccept([]byte(tt.accept))
		got := ""
		if chosen := w.choose(f); chosen != none {
			got = codings[chosen].name
		}
		if got != tt.want || w.refusesIdentity() != tt.refuses {
			t.Errorf("%q: %q (refuses identity: %t), want %q (%t)", tt.accept, got, w.refusesIdentity(), tt.want, tt.refuses)
		}
	}
	w := parseAccept([]byte("gzip, br, zstd"))
	if got := w.choose(newOffer("gzip", "br")); codings[got].name != "gzip" {
		t.Errorf("of equals %s was chosen, not the first on offer", codings[got].name)
	}
}

func FuzzAccept(f *testing.F) {
	f.Add("gzip;q=1.0, identity; q=0.5, *;q=0")
	f.Fuzz(func(t *testing.T, accept string) {
		w := parseAccept([]byte(accept))
		for _, weight := range append(w.codings[:], w.identity, w.wildcard) {
			if weight < unsaid || weight > 1000 {
				t.Errorf("a weight of %d", weight)
			}
		}
	})
}
