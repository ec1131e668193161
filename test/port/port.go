// Package port finds ports for the programs that tests start.
//
// The system assigns the ports of its ephemeral range to any socket, also to outgoing
// connections: a port that was free a moment ago may be taken when the program opens it.
// The ports of this package are below that range. Each process that runs tests reserves
// its own block of them, so that no two tests get the same port between its check and its
// use.
package port

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"
)

// The range is below the ephemeral ports of Linux (32768) and of other systems (49152).
const (
	first, last = 20_000, 32_000
	blockSize   = 200
)

// block holds this process's ports. It listens on the first one for as long as the
// process runs, which reserves the block.
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

// Free returns a TCP port of 127.0.0.1 on which nothing listens. The process does not get
// it again before all others of its block.
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
