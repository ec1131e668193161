//go:build !linux

package sock

import "net"

// Backlog takes nothing on this system: what was not accepted is reset when
// the listener closes.
func Backlog(net.Listener) []net.Conn { return nil }
