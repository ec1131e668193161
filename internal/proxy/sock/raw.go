package sock

import (
	"io"
	"net"
	"syscall"
)

// rawConn returns the raw socket of a plain TCP connection, or nil.
func rawConn(nc net.Conn) syscall.RawConn {
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

// rawFill runs fillStep or sendStep until it is done.
func (c *Conn) rawFill(step func(uintptr) bool) (int, error) {
	c.got, c.err = 0, nil
	if err := c.raw.Read(step); err != nil {
		return 0, err
	}
	return c.got, c.err
}

// fillStep reads once. It returns false if nothing was received yet. A buffer that was
// taken for the attempt is released before the wait.
func (c *Conn) fillStep(fd uintptr) bool {
	taken := c.In == nil
	if taken {
		c.In = c.pool.Get()
	}
	n, err := ignoringEINTR(syscall.Read, int(fd), c.In.Free())
	switch {
	case n > 0:
		c.In.Wrote(n)
		c.got = n
		return true
	case taken:
		c.ReleaseIn()
	}
	if err == syscall.EAGAIN {
		return false
	}
	if c.err = err; err == nil {
		c.err = io.EOF
	}
	return true
}

// sendStep writes once and then behaves like fillStep. The runtime resets the socket's
// readiness before it calls sendStep for the first time, that is before the write. So
// the arrival of the response cannot be missed, and the read that would only find
// nothing can be skipped.
func (c *Conn) sendStep(fd uintptr) bool {
	if c.out == nil {
		return c.fillStep(fd)
	}
	n, err := ignoringEINTR(syscall.Write, int(fd), c.out)
	c.sent = max(n, 0)
	switch {
	case err == nil && n == len(c.out):
		c.out = nil
		return false
	case err != nil && err != syscall.EAGAIN:
		c.err = err
	}
	return true // partly written or failed: SendFill continues
}

// peekStep checks for bytes or the end of the stream, without consuming them. It sets
// c.err to EAGAIN if there is nothing.
func (c *Conn) peekStep(fd uintptr) {
	_, c.err = ignoringEINTR(func(fd int, p []byte) (int, error) {
		n, _, err := syscall.Recvfrom(fd, p, syscall.MSG_PEEK)
		return n, err
	}, int(fd), c.one[:])
}

func ignoringEINTR(call func(int, []byte) (int, error), fd int, p []byte) (int, error) {
	for {
		n, err := call(fd, p)
		if err != syscall.EINTR {
			return n, err
		}
	}
}
