//go:build !linux

package sock

import (
	"net"
	"net/netip"
)

// Port is a socket of UDP. On this system one that is open on all addresses
// replies from that which the system chooses.
type Port struct{ *net.UDPConn }

// NewPort takes over a socket.
func NewPort(conn *net.UDPConn) *Port { return &Port{conn} }

// Receive waits for a datagram. to is the zero address.
func (p *Port) Receive(buf []byte) (n int, from netip.AddrPort, to netip.Addr, err error) {
	n, from, err = p.ReadFromUDPAddrPort(buf)
	return n, from, to, err
}

// Source has no use on this system.
func Source(netip.Addr) []byte { return nil }

// Reply sends a datagram.
func (p *Port) Reply(datagram []byte, to netip.AddrPort, _ []byte) error {
	_, err := p.WriteToUDPAddrPort(datagram, to)
	return err
}
