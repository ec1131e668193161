//go:build !linux

package sock

import (
	"net"
	"net/netip"
)

// Port is a UDP socket. On this system, a socket that is bound to all addresses replies
// from the address that the kernel chooses.
type Port struct{ *net.UDPConn }

// NewPort returns a Port that owns conn.
func NewPort(conn *net.UDPConn) *Port { return &Port{conn} }

// Receive waits for a datagram. to is the zero address.
func (p *Port) Receive(buf []byte) (n int, from netip.AddrPort, to netip.Addr, err error) {
	n, from, err = p.ReadFromUDPAddrPort(buf)
	return n, from, to, err
}

// Source returns nil: this system does not support it.
func Source(netip.Addr) []byte { return nil }

// Reply sends a datagram.
func (p *Port) Reply(datagram []byte, to netip.AddrPort, _ []byte) error {
	_, err := p.WriteToUDPAddrPort(datagram, to)
	return err
}
