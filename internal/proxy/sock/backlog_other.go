//go:build !linux

package sock

import "net"

// CloseListener closes a listener. On this system the connections in its backlog are
// reset.
func CloseListener(l net.Listener, _ Held) []net.Conn {
	l.Close()
	return nil
}
