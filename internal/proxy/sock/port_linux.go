package sock

import (
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Port is a UDP socket that replies from the address to which a datagram was sent. A
// socket that is bound to all addresses would otherwise let the kernel choose the
// source address, and clients drop replies from another address. One goroutine
// receives; any may reply.
type Port struct {
	*net.UDPConn
	wild bool // bound to all addresses
	oob  [128]byte
}

// NewPort returns a Port that owns conn.
func NewPort(conn *net.UDPConn) *Port {
	p := &Port{UDPConn: conn}
	addr, ok := conn.LocalAddr().(*net.UDPAddr)
	if !ok || !addr.IP.IsUnspecified() {
		return p
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return p
	}
	raw.Control(func(fd uintptr) {
		v4 := unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
		v6 := unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
		p.wild = v4 == nil || v6 == nil
	})
	return p
}

// Receive waits for a datagram. to is the address that it was sent to if Reply needs
// it, and zero otherwise.
func (p *Port) Receive(buf []byte) (n int, from netip.AddrPort, to netip.Addr, err error) {
	if !p.wild {
		n, from, err = p.ReadFromUDPAddrPort(buf)
		return n, from, to, err
	}
	n, size, _, from, err := p.ReadMsgUDPAddrPort(buf, p.oob[:])
	for rest := p.oob[:size]; err == nil && len(rest) > 0; {
		head, data, after, broken := unix.ParseOneSocketControlMessage(rest)
		if broken != nil {
			break
		}
		// in_pktinfo: index, local address, destination (ip(7)); in6_pktinfo:
		// destination, index (ipv6(7)).
		switch {
		case head.Level == unix.IPPROTO_IP && head.Type == unix.IP_PKTINFO && len(data) >= 12:
			to = netip.AddrFrom4([4]byte(data[8:12]))
		case head.Level == unix.IPPROTO_IPV6 && head.Type == unix.IPV6_PKTINFO && len(data) >= 16:
			to = netip.AddrFrom16([16]byte(data[:16]))
		}
		rest = after
	}
	return n, from, to, err
}

// Source returns the control message that makes Reply send from addr. For the zero
// address it returns nil: the kernel chooses.
func Source(addr netip.Addr) []byte {
	switch {
	case !addr.IsValid() || addr.Unmap().IsMulticast():
		return nil
	case addr.Is4():
		return unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: addr.As4()})
	}
	return unix.PktInfo6(&unix.Inet6Pktinfo{Addr: addr.As16()})
}

// Reply sends a datagram. source is the result of Source.
func (p *Port) Reply(datagram []byte, to netip.AddrPort, source []byte) error {
	_, _, err := p.WriteMsgUDPAddrPort(datagram, source, to)
	return err
}
