package msg

import (
	"net/netip"
	"unsafe"
)

// ParseAddr parses an IP address in a message. For a valid address it allocates
// nothing, and it keeps no reference to b: the only text in an Addr is the zone, which
// is copied.
func ParseAddr(b []byte) (netip.Addr, bool) {
	if len(b) == 0 {
		return netip.Addr{}, false
	}
	addr, err := netip.ParseAddr(unsafe.String(&b[0], len(b)))
	return addr, err == nil
}
