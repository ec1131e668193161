package httpx

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"windrose.dev/windrose/internal/proxy/engine"
	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/mux"
	"windrose.dev/windrose/internal/proxy/upstream"
	"windrose.dev/windrose/internal/proxy/wire/http1"
)

const (
	// mirrorTime bounds a copy and its answer.
	mirrorTime = 15 * time.Second
	// mirrorAnswer bounds what is read of an answer that nobody wants, in bytes.
	mirrorAnswer = 1 << 20
)

// mirrors sends copies of requests and drops the answers. Nothing waits for it:
// a copy for which there is no room is dropped.
type mirrors struct {
	engine *engine.Engine
	active atomic.Int64

	mu      sync.Mutex
	held    map[interrupter]struct{}
	stopped bool
}

// mirrorCopy is a request on its way to a mirror.
type mirrorCopy struct {
	*mirrors
	shard   *engine.Shard
	cluster *upstream.Cluster
	client  upstream.Client
	request outgoing
	connect time.Duration
}

// send has a copy sent, if there is room: for all mirrors together, and for one
// service, so that a slow one leaves room for others.
func (m *mirrors) send(c *mirrorCopy) {
	most, service := int64(m.engine.Limits.Mirrors), c.cluster.Service
	all, here := m.active.Add(1), service.Mirroring.Add(1)
	if all > most || here > (most+1)/2 {
		c.end()
		c.cluster.Stats.MirrorsDropped.Add(1)
		return
	}
	go c.run()
}

func (c *mirrorCopy) end() {
	c.active.Add(-1)
	c.cluster.Service.Mirroring.Add(-1)
}

func (c *mirrorCopy) run() {
	defer func() {
		if broken := recover(); broken != nil {
			c.engine.Panicked(broken)
		}
		c.end()
	}()
	counter := &c.cluster.Stats.MirrorsFailed
	if c.deliver() {
		counter = &c.cluster.Stats.Mirrored
	}
	counter.Add(1)
}

// deliver sends the copy and reads its answer. A kept connection that turns out
// dead is replaced once.
func (c *mirrorCopy) deliver() bool {
	if c.cluster.Closed != "" {
		return false
	}
	c.cluster.Await(c.connect)
	lease, err := c.cluster.Reserve(upstream.Pick{Draw: rand.Uint64})
	if err != nil {
		return false
	}
	defer lease.Done()
	dial := upstream.Dial{Shard: c.shard.Index, Buffers: &c.shard.Pool, Timeout: c.connect, Client: c.client}
	for ; ; dial.Fresh = true {
		if lease.Connect(dial) != nil {
			return false
		}
		reused := lease.Stream != nil && lease.Stream.Reused() || lease.Conn != nil && lease.Conn.Reused
		if answered, done := c.exchange(&lease); answered || dial.Fresh || !reused {
			return done
		}
	}
}

// exchange runs one request and answer. answered tells whether anything came back, done
// whether all of it.
func (c *mirrorCopy) exchange(l *upstream.Lease) (answered, done bool) {
	until := c.engine.Clock.Now() + int64(mirrorTime)
	if l.Stream != nil {
		return c.overHTTP2(l.Stream, until)
	}
	return c.overHTTP1(l.Endpoint.Pool, l.Conn, until)
}

// overHTTP2 runs the exchange over a stream.
func (c *mirrorCopy) overHTTP2(s *mux.Stream, until int64) (answered, done bool) {
	if !c.hold(s) {
		s.Close()
		return true, false
	}
	defer c.release(s)
	defer s.Close()
	s.WriteBy(until)
	s.ReadBy(until)
	r := c.request.http2()
	if _, err := s.Ask(&r, c.request.head, c.request.data, true, c.request.trailer); err != nil {
		return false, false
	}
	for total, last := 0, false; !last; {
		if err := s.Wait(); err != nil {
			return answered, false
		}
		var head msg.Head
		for s.Response(&head) && head.Status < 200 {
			answered = true
		}
		var data []byte
		data, last = s.Data()
		answered = true
		if total += len(data); total > mirrorAnswer {
			return true, false
		}
		s.Took()
	}
	return true, true
}

// overHTTP1 runs the exchange over a connection.
func (c *mirrorCopy) overHTTP1(pool *upstream.Pool, up *upstream.Conn, until int64) (answered, done bool) {
	if !c.hold(up) {
		up.Close()
		return true, false
	}
	defer c.release(up)
	up.WriteBy(until)
	up.ReadBy(until)
	if _, _, err := up.SendFill(appendPart(c.request.appendHTTP1(nil), c.request.part, c.request.length)); err != nil {
		up.Close()
		return false, false
	}
	done, reusable := c.drain(up)
	if !reusable || up.In != nil && up.In.Len() > 0 {
		up.Close()
		return true, done
	}
	up.ReleaseIn()
	pool.Release(up, c.shard.Index, c.engine.Clock.Now())
	return true, done
}

// drain reads an answer and forgets it.
func (c *mirrorCopy) drain(up *upstream.Conn) (done, reusable bool) {
	body, alive, ok := c.skipHeads(up)
	if !ok {
		return false, false
	}
	for total := 0; ; {
		if up.In != nil {
			_, taken, err := body.Compact(up.In.Bytes())
			if up.In.Advance(taken); err != nil {
				return false, false
			}
			if total += taken; total > mirrorAnswer {
				return false, false
			}
		}
		switch {
		case body.Done():
			return true, alive
		case c.fill(up) != nil:
			return body.EOF(), false
		}
	}
}

// skipHeads reads the heads of interim answers and of the final one. It returns
// how the body ends, and whether the connection goes on behind it.
func (c *mirrorCopy) skipHeads(up *upstream.Conn) (body http1.Body, alive, ok bool) {
	limits, method := c.engine.Limits.Head(), c.request.method()
	for range maxInterim {
		var parser http1.Parser
		var head msg.Head
		n := 0
		for n == 0 {
			var err error
			if up.In != nil {
				if n, err = parser.Response(&head, up.In.Bytes(), &limits); err != nil {
					return body, false, false
				}
			}
			if n == 0 && c.fill(up) != nil {
				return body, false, false
			}
		}
		kind, length, err := http1.ResponseFraming(&head, method)
		alive = http1.KeepsAlive(&head) && kind != http1.UntilClose
		up.Doubtful = kind == http1.NoBody
		if up.In.Advance(n); err != nil || head.Status == 101 {
			return body, false, false
		}
		if head.Status >= 200 {
			return http1.NewBody(kind, length), alive, true
		}
	}
	return body, false, false
}

func (c *mirrorCopy) fill(up *upstream.Conn) error {
	if up.In != nil && !up.In.MakeRoom(2*c.engine.Limits.HeaderBytes) {
		return msg.ErrHeadTooLong
	}
	_, err := up.Fill()
	return err
}

// hold has stop end the exchange over a connection or stream. It returns false
// when that was called already.
func (m *mirrors) hold(up interrupter) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopped {
		return false
	}
	if m.held == nil {
		m.held = map[interrupter]struct{}{}
	}
	m.held[up] = struct{}{}
	return true
}

// interrupter is what an exchange waits at.
type interrupter interface{ Interrupt() }

func (m *mirrors) release(up interrupter) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.held, up)
}

// stop ends the copies that are under way: the proxy ends, and nobody waits for
// their answers.
func (m *mirrors) stop() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stopped = true
	for up := range m.held {
		up.Interrupt()
	}
}
