package msg

import (
	"net/netip"
	"unsafe"
)

// ParseAddr reads an IP address out of a message. It allocates nothing for one that is
// sound, and keeps nothing of b: an Addr has no text but a zone, which is copied where
// it is interned.
func ParseAddr(b []byte) (netip.Addr, bool) {
	if len(b) == 0 {
		return netip.Addr{}, false
	}
	addr, err := netip.ParseAddr(unsafe.String(&b[0], len(b)))
	return addr, err == nil
}
