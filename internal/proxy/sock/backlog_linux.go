package sock

import (
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// CloseListener closes a listener and returns the connections that the system
// had made for it and that were not accepted yet: a close alone would reset
// them. Nobody may be accepting. shared tells that another process holds the
// socket, and accepts what comes; then it loses nothing.
func CloseListener(l net.Listener, shared bool) []net.Conn {
	defer l.Close()
	tcp, ok := l.(*net.TCPListener)
	if !ok || shared {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	var fds []int
	raw.Control(func(listening uintptr) {
		setRefusing(int(listening), true)
		fds = acceptAll(int(listening))
		setRefusing(int(listening), false) // whoever else holds it is not to go deaf
	})
	l.Close()
	return connsOf(fds)
}

// setRefusing has the system make no connections for a listening socket, by a
// filter that lets no packet pass: clients try again. If it cannot be set,
// nothing worse happens than that a few are reset.
func setRefusing(fd int, on bool) {
	if !on {
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0)
		return
	}
	drop := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 0}
	unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &drop})
}

func acceptAll(listening int) (fds []int) {
	for {
		fd, _, err := syscall.Accept4(listening, syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
		switch err {
		case nil:
			fds = append(fds, fd)
		case syscall.EINTR, syscall.ECONNABORTED:
		default:
			return fds
		}
	}
}

func connsOf(fds []int) (conns []net.Conn) {
	for _, fd := range fds {
		f := os.NewFile(uintptr(fd), "tcp")
		if nc, err := net.FileConn(f); err == nil {
			conns = append(conns, nc)
		}
		f.Close()
	}
	return conns
}
