// Package port finds ports for the programs that tests start.
//
// The system gives the ports of its ephemeral range to whoever asks for any
// port, also to outgoing connections: one that was free a moment ago may be
// taken when the program opens it. These are below that range, and each process
// that runs tests takes its own block of them, so that no two tests are given
// one port between its check and its use.
package port

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"
)

// The range lies below the ephemeral ports of Linux (32768) and others (49152).
const (
	first, last = 20_000, 32_000
	blockSize   = 200
)

// block is this process's ports. Its first is listened on as long as the process
// runs: that is what makes it ours.
type block struct {
	owner net.Listener
	mu    sync.Mutex
	first int
	next  int
}

var own = sync.OnceValues(takeBlock)

func takeBlock() (*block, error) {
	for _, i := range rand.Perm((last - first) / blockSize) {
		start := first + i*blockSize
		if owner, err := net.Listen("tcp", address(start)); err == nil {
			return &block{owner: owner, first: start}, nil
		}
	}
	return nil, errors.New("each block of ports is another's")
}

func address(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }

// Free returns a TCP port of 127.0.0.1 that nobody listens on, and which this
// process is not given again before all others of its block.
func Free(t testing.TB) string {
	t.Helper()
	b, err := own()
	if err != nil {
		t.Fatal(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for range blockSize {
		b.next = b.next%(blockSize-1) + 1
		port := b.first + b.next
		l, err := net.Listen("tcp", address(port))
		if err == nil {
			l.Close()
			return strconv.Itoa(port)
		}
	}
	t.Fatalf("no port of %d to %d is free", b.first, b.first+blockSize)
	return ""
}
