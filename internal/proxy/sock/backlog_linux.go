package sock

import (
	"net"
	"os"
	"syscall"
)

// Backlog takes the connections that the system has made for a listener and
// that were not accepted yet, without waiting for more.
func Backlog(l net.Listener) []net.Conn {
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	var fds []int
	raw.Control(func(listening uintptr) {
		for {
			fd, _, err := syscall.Accept4(int(listening), syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
			if err == syscall.EINTR || err == syscall.ECONNABORTED {
				continue
			}
			if err != nil {
				return
			}
			fds = append(fds, fd)
		}
	})
	var conns []net.Conn
	for _, fd := range fds {
		f := os.NewFile(uintptr(fd), "tcp")
		if nc, err := net.FileConn(f); err == nil {
			conns = append(conns, nc)
		}
		f.Close()
	}
	return conns
}
