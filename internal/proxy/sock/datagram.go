package sock

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
)

// MaxDatagram is more than the longest payload of a UDP datagram, in bytes.
const MaxDatagram = 64 << 10

// Datagrams is a UDP socket that is connected to one peer. One goroutine receives; one
// goroutine, the same or another, sends.
type Datagrams struct {
	*net.UDPConn
	raw syscall.RawConn

	in               []byte
	got              int
	out              []byte
	inErr, outErr    error
	receiveRaw, send func(fd uintptr) bool
	get              func() []byte
	put              func([]byte)
}

// ErrFull means that the socket's send buffer is full.
var ErrFull = errors.New("the socket's buffer is full")

// DialDatagrams returns a socket that is connected to addr. get returns a buffer of
// MaxDatagram bytes, and put takes it back.
func DialDatagrams(addr netip.AddrPort, get func() []byte, put func([]byte)) (*Datagrams, error) {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return nil, err
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		conn.Close()
		return nil, err
	}
	d := &Datagrams{UDPConn: conn, raw: raw, get: get, put: put}
	d.receiveRaw, d.send = d.receiveStep, d.sendStep
	return d, nil
}

// Receive waits for a datagram and passes it to use. While it waits it holds no buffer.
func (d *Datagrams) Receive(use func([]byte)) error {
	d.inErr = nil
	if err := d.raw.Read(d.receiveRaw); err != nil {
		return err
	}
	if d.inErr == nil {
		use(d.in[:d.got])
	}
	d.put(d.in)
	d.in = nil
	return d.inErr
}

func (d *Datagrams) receiveStep(fd uintptr) bool {
	d.in = d.get()
	d.got, d.inErr = ignoringEINTR(syscall.Read, int(fd), d.in)
	if d.inErr == syscall.EAGAIN {
		d.put(d.in)
		d.in = nil
		return false
	}
	return true
}

// Send sends a datagram, or returns ErrFull. It never waits.
func (d *Datagrams) Send(p []byte) error {
	d.out = p
	if err := d.raw.Write(d.send); err != nil {
		return err
	}
	if d.outErr == syscall.EAGAIN || d.outErr == syscall.ENOBUFS {
		return ErrFull
	}
	return d.outErr
}

func (d *Datagrams) sendStep(fd uintptr) bool {
	_, d.outErr = ignoringEINTR(syscall.Write, int(fd), d.out)
	return true
}
