package sock

import (
	"net"
	"net/netip"
)

// AddrPort reads the address of a TCP connection, or of a UDP socket; others have
// none.
func AddrPort(addr net.Addr) netip.AddrPort {
	if inet, ok := addr.(interface{ AddrPort() netip.AddrPort }); ok {
		ap := inet.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return netip.AddrPort{}
}
