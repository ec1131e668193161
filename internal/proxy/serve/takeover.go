package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// takeoverTimeout bounds how long a successor may take to become ready.
const takeoverTimeout = 30 * time.Second

// maxHandedOver bounds the sockets in one message; the limit of Linux is 253.
const maxHandedOver = 250

// sockets opens listeners, preferring those of a predecessor, and remembers the open
// ones, to pass them to a successor (SCM_RIGHTS, unix(7)). While two processes hold a
// listening socket, closing it in one of them loses no connection.
type sockets struct {
	path string // of the Unix socket for the takeover; empty means none

	// handedOver: another process may hold some of the sockets too.
	handedOver atomic.Bool

	mu        sync.Mutex
	inherited map[string]net.Listener // by address
	open      map[string]net.Listener
	// UDP sockets. Their addresses have udpPrefix in messages.
	inheritedUDP, openUDP map[string]*net.UDPConn
}

const udpPrefix = "udp:"

// Listen opens a listener, or takes the predecessor's for the same address.
func (s *sockets) Listen(address string) (net.Listener, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, inherited := s.inherited[address]
	delete(s.inherited, address)
	if !inherited {
		var err error
		if l, err = net.Listen("tcp", address); err != nil {
			return nil, err
		}
	}
	s.open[address] = l
	return l, nil
}

// ListenUDP opens a UDP socket, or takes the predecessor's.
func (s *sockets) ListenUDP(address string) (*net.UDPConn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	conn, inherited := s.inheritedUDP[address]
	delete(s.inheritedUDP, address)
	if !inherited {
		addr, err := net.ResolveUDPAddr("udp", address)
		if err != nil {
			return nil, err
		}
		if conn, err = net.ListenUDP("udp", addr); err != nil {
			return nil, err
		}
	}
	s.openUDP[address] = conn
	return conn, nil
}

// inherit asks the predecessor for its sockets. It returns a connection on which to
// tell the predecessor that we are ready, or nil if there is no predecessor.
func inherit(path string) (*sockets, *net.UnixConn, error) {
	s := &sockets{
		path: path, inherited: map[string]net.Listener{}, open: map[string]net.Listener{},
		inheritedUDP: map[string]*net.UDPConn{}, openUDP: map[string]*net.UDPConn{},
	}
	if path == "" {
		return s, nil, nil
	}
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
			return s, nil, nil // no predecessor, or one that has ended
		}
		return nil, nil, fmt.Errorf("take over from %s: %w", path, err)
	}
	conn.SetDeadline(time.Now().Add(takeoverTimeout))
	if err := s.receive(conn); err != nil {
		conn.Close()
		return nil, nil, fmt.Errorf("take over from %s: %w", path, err)
	}
	return s, conn, nil
}

// receive reads one message: a JSON list of addresses, and a socket for each.
func (s *sockets) receive(conn *net.UnixConn) error {
	text, rights := make([]byte, 64<<10), make([]byte, syscall.CmsgSpace(4*maxHandedOver))
	n, rightsLen, _, _, err := conn.ReadMsgUnix(text, rights)
	if err != nil {
		return err
	}
	var addresses []string
	if err := json.Unmarshal(text[:n], &addresses); err != nil {
		return err
	}
	messages, err := syscall.ParseSocketControlMessage(rights[:rightsLen])
	if err != nil || len(messages) != 1 {
		return fmt.Errorf("no sockets came with the message: %w", err)
	}
	fds, err := syscall.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != len(addresses) {
		return fmt.Errorf("%d sockets for %d addresses: %w", len(fds), len(addresses), err)
	}
	s.handedOver.Store(true)
	for i, fd := range fds {
		if err := s.take(addresses[i], os.NewFile(uintptr(fd), addresses[i])); err != nil {
			return fmt.Errorf("%s: %w", addresses[i], err)
		}
	}
	return nil
}

// take stores the socket that was received for an address.
func (s *sockets) take(address string, file *os.File) error {
	defer file.Close()
	udp, isUDP := strings.CutPrefix(address, udpPrefix)
	if !isUDP {
		l, err := net.FileListener(file)
		s.inherited[address] = l
		return err
	}
	conn, err := net.FilePacketConn(file)
	if err != nil {
		return err
	}
	socket, ok := conn.(*net.UDPConn)
	if !ok {
		return errors.New("no socket of UDP")
	}
	s.inheritedUDP[udp] = socket
	return nil
}

// closeUnused closes inherited sockets that are no longer used.
func (s *sockets) closeUnused() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for address, l := range s.inherited {
		delete(s.inherited, address)
		l.Close()
	}
	for address, conn := range s.inheritedUDP {
		delete(s.inheritedUDP, address)
		conn.Close()
	}
}

// awaitSuccessor passes the sockets to each process that asks, and returns nil once one
// of them has reported that it is ready. A successor that fails before that changes
// nothing.
func (s *sockets) awaitSuccessor(ctx context.Context) error {
	if s.path == "" {
		<-ctx.Done()
		return ctx.Err()
	}
	os.Remove(s.path) // the predecessor's socket: it does not accept any more
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: s.path, Net: "unix"})
	if err != nil {
		return fmt.Errorf("wait for a successor: %w", err)
	}
	l.SetUnlinkOnClose(false) // the path may be the successor's by then
	if err := os.Chmod(s.path, 0o600); err != nil {
		return fmt.Errorf("wait for a successor: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	defer l.Close()
	for {
		conn, err := l.AcceptUnix()
		if err != nil {
			return ctx.Err()
		}
		err = s.handOver(conn)
		conn.Close()
		if err == nil {
			return nil
		}
		fmt.Fprintf(os.Stderr, "a successor did not become ready: %v\n", err)
	}
}

// handOver sends the sockets and waits until the successor is ready.
func (s *sockets) handOver(conn *net.UnixConn) error {
	conn.SetDeadline(time.Now().Add(takeoverTimeout))
	s.handedOver.Store(true)
	addresses, files := s.files()
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	fds := make([]int, len(files))
	for i, f := range files {
		raw, err := f.SyscallConn()
		if err != nil {
			return err
		}
		// Fd would make the socket blocking, in all processes that hold it.
		raw.Control(func(fd uintptr) { fds[i] = int(fd) })
	}
	text, err := json.Marshal(addresses)
	if err != nil {
		return err
	}
	if _, _, err := conn.WriteMsgUnix(text, syscall.UnixRights(fds...), nil); err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 1))
	return err
}

// files duplicates the open sockets.
func (s *sockets) files() (addresses []string, files []*os.File) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for address, l := range s.open {
		tcp, ok := l.(*net.TCPListener)
		if !ok || len(files) == maxHandedOver {
			continue
		}
		if f, err := tcp.File(); err == nil {
			addresses, files = append(addresses, address), append(files, f)
		}
	}
	for address, conn := range s.openUDP {
		if len(files) == maxHandedOver {
			break
		}
		if f, err := conn.File(); err == nil {
			addresses, files = append(addresses, udpPrefix+address), append(files, f)
		}
	}
	return addresses, files
}
