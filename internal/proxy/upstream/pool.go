package upstream

import (
	"sync"
	"sync/atomic"
	"time"

	"windrose.dev/windrose/internal/proxy/sock"
)

// Pool holds the connections of one Key: those that may be used in each other's place.
type Pool struct {
	*Host
	Key Key

	users int  // of endpoint sets; guarded by Registry.mu
	tls   *TLS // nil for plain text
	// http2: the endpoint has chosen it last. That is a hint where to look for
	// connections: for the next one it may choose again.
	http2    atomic.Bool
	registry *Registry
	retired  atomic.Bool
	idle     []idleList
	shared   []sharedList // nil where no HTTP/2 is spoken
}

// idleList is a stack: the connection that was used last is the most likely
// to be alive, and the others grow old and go.
type idleList struct {
	mu    sync.Mutex
	conns []*Conn
	_     [32]byte
}

// Conn is a connection to an endpoint.
type Conn struct {
	*sock.Conn
	// Reused tells that the connection has carried a request before.
	Reused bool
	// Doubtful tells that the end of the last answer was known by a rule and
	// not by the answer itself (HEAD, 204, 304): its sender may have thought
	// otherwise.
	Doubtful bool
	since    int64 // when it became idle
}

// Retired reports whether the live configuration has the pool no more.
func (p *Pool) Retired() bool { return p.retired.Load() }

// lookAfter is how long a connection may be idle without being looked at when
// it is taken again. Bytes that nobody asked for mostly come with the answer's
// last ones, or soon after; a look costs a system call.
const lookAfter = time.Millisecond

// Idle takes an idle connection, of this shard's if there is one. It returns
// nil when there is none. now is the clock's time.
func (p *Pool) Idle(shard int, now int64) *Conn {
	for i := range p.idle {
		if c := p.take((shard+i)%len(p.idle), now); c != nil {
			return c
		}
	}
	return nil
}

func (p *Pool) take(shard int, now int64) *Conn {
	l := &p.idle[shard]
	for {
		l.mu.Lock()
		n := len(l.conns)
		if n == 0 {
			l.mu.Unlock()
			return nil
		}
		c := l.conns[n-1]
		l.conns[n-1] = nil
		l.conns = l.conns[:n-1]
		l.mu.Unlock()
		look := c.Doubtful || now-c.since > int64(lookAfter)
		if !c.Gone() && (!look || c.Quiet()) {
			c.Reused, c.Doubtful = true, false
			return c
		}
		c.Close()
	}
}

// Release gives a connection back that is ready for the next request. now is
// the clock's time.
func (p *Pool) Release(c *Conn, shard int, now int64) {
	if c.Left() || p.sendsProxyHeader() {
		// Bytes that nobody asked for: the next answer cannot be trusted. Or the next
		// request is not this client's.
		c.Close()
		return
	}
	c.since = now
	l := &p.idle[shard]
	l.mu.Lock()
	if p.retired.Load() || len(l.conns) >= maxIdle {
		l.mu.Unlock()
		c.Close()
		return
	}
	l.conns = append(l.conns, c)
	l.mu.Unlock()
}

// closeIdle closes the connections that have been idle since before, or all.
func (p *Pool) closeIdle(before int64, all bool) {
	for i := range p.idle {
		l := &p.idle[i]
		l.mu.Lock()
		n := 0 // the oldest are at the bottom
		for n < len(l.conns) && (all || l.conns[n].since < before || l.conns[n].Gone()) {
			n++
		}
		old := append([]*Conn(nil), l.conns[:n]...)
		l.conns = append(l.conns[:0], l.conns[n:]...)
		clear(l.conns[len(l.conns):cap(l.conns)])
		l.mu.Unlock()
		for _, c := range old {
			c.Close()
		}
	}
}
