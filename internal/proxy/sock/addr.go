package sock

import (
	"net"
	"net/netip"
)

// AddrPort returns the address of a TCP connection or UDP socket. For any other address
// it returns the zero AddrPort.
func AddrPort(addr net.Addr) netip.AddrPort {
	if inet, ok := addr.(interface{ AddrPort() netip.AddrPort }); ok {
		ap := inet.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return netip.AddrPort{}
}
