// Package port finds ports for the programs that tests start.
//
// The system gives the ports of its ephemeral range to whoever asks for any
// port, also to outgoing connections: one that was free a moment ago may be
// taken when the program opens it. These are below that range.
package port

import (
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
)

// The range lies below the ephemeral ports of Linux (32768) and others (49152).
const first, last = 20_000, 32_000

// Free returns a TCP port of 127.0.0.1 that nobody listens on.
func Free(t testing.TB) string {
	t.Helper()
	var err error
	for range 100 {
		port := strconv.Itoa(first + rand.IntN(last-first))
		var l net.Listener
		if l, err = net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no port is free: ", err)
	return ""
}
