package msg

import (
	"net/netip"
	"testing"
)

// TestParseAddr: an address outlives the buffer that it was read from.
func TestParseAddr(t *testing.T) {
	for _, text := range []string{"192.0.2.1", "2001:db8::1", "fe80::1%eth0", "::ffff:192.0.2.1"} {
		b := []byte(text)
		got, ok := ParseAddr(b)
		for i := range b {
			b[i] = 'x'
		}
		if !ok || got != netip.MustParseAddr(text) || got.String() != text {
			t.Errorf("%s is read as %s, %t", text, got, ok)
		}
	}
	for _, text := range []string{"", " 192.0.2.1", "192.0.2.1:80", "[::1]", "unknown", "_hidden"} {
		if got, ok := ParseAddr([]byte(text)); ok {
			t.Errorf("%q is read as %s", text, got)
		}
	}
	b := []byte("198.51.100.7")
	if n := testing.AllocsPerRun(100, func() { ParseAddr(b) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
