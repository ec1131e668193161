package sock

import (
	"math"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// CloseListener closes a listener and returns the connections in its backlog, which the
// kernel has established and nobody has accepted. A plain close would reset them. No
// goroutine may be accepting.
func CloseListener(l net.Listener, held Held) []net.Conn {
	defer l.Close()
	tcp, ok := l.(*net.TCPListener)
	if !ok || held == ByOthers {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	own := -1
	raw.Control(func(listening uintptr) {
		if own, err = unix.FcntlInt(listening, unix.F_DUPFD_CLOEXEC, 0); err == nil {
			setRefusing(own, true)
		}
	})
	if err != nil {
		return nil
	}
	l.Close() // own keeps the socket open
	fds := acceptAll(own)
	if held != ByUs {
		setRefusing(own, false) // another process may continue to accept
	}
	unix.Close(own) // resets what connected since the filter was removed
	return connsOf(fds)
}

// setRefusing makes the kernel drop new connections to a listening socket, so that
// clients retry: it attaches a filter that lets no packet pass and, since not every
// system has socket filters, sets the backlog to its minimum. off restores the longest
// backlog.
func setRefusing(fd int, on bool) {
	if !on {
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0)
		unix.Listen(fd, math.MaxUint16) // the kernel caps it
		return
	}
	drop := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 0}
	unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &drop})
	unix.Listen(fd, 0)
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
