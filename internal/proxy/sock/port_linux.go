package sock

import (
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Port is a socket of UDP whose replies come from the address that was asked:
// one that is open on all addresses of a machine would else let the system
// choose, and clients refuse what comes from another. One goroutine receives,
// any may reply.
type Port struct {
	*net.UDPConn
	wild bool // open on all addresses
	oob  [128]byte
}

// NewPort takes over a socket.
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

// Receive waits for a datagram. to is the address that it was sent to, where
// that has to be told to Reply; else it is the zero one.
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

// Source is what Reply needs to send from an address; the zero one leaves it to
// the system.
func Source(addr netip.Addr) []byte {
	switch {
	case !addr.IsValid() || addr.Unmap().IsMulticast():
		return nil
	case addr.Is4():
		return unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: addr.As4()})
	}
	return unix.PktInfo6(&unix.Inet6Pktinfo{Addr: addr.As16()})
}

// Reply sends a datagram from an address, as Source has it.
func (p *Port) Reply(datagram []byte, to netip.AddrPort, source []byte) error {
	_, _, err := p.WriteMsgUDPAddrPort(datagram, source, to)
	return err
}
