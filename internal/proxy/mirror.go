package proxy

import (
	"bytes"
	"sync"
	"sync/atomic"
	"time"

	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/proxy/msg"
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
	proxy  *Proxy
	active atomic.Int64

	mu      sync.Mutex
	conns   map[*upstream.Conn]struct{}
	stopped bool
}

// mirrorCopy is a request on its way to a mirror.
type mirrorCopy struct {
	*mirrors
	shard   *shard
	cluster *exchange.Cluster
	request []byte // head and body
	connect time.Duration
}

// chooseCopies draws the mirrors that get a copy of the request. One that is
// whole already goes at once; the pump sends the others. A request to switch
// protocols is not copied: there is nobody to speak the other one.
func (t *transfer) chooseCopies() {
	if !t.x.Mirrored() || t.upgrade != nil {
		return
	}
	t.x.EachMirror(func(c *exchange.Cluster) { t.copies = append(t.copies, c) })
	if t.earlyWhole {
		t.sendCopies(t.appendHTTP1Head(nil), t.early)
	}
}

// sendCopies sends a request, given as its head in HTTP/1 and its whole body, to
// the mirrors that were drawn.
func (t *transfer) sendCopies(head, body []byte) {
	if len(t.copies) == 0 {
		return
	}
	request := t.appendHTTP1Body(head, body, true)
	if len(request) > t.proxy.cfg.Limits.MirrorBytes {
		t.dropCopies()
		return
	}
	for _, c := range t.copies {
		t.proxy.mirrors.send(mirrorCopy{&t.proxy.mirrors, t.session.shard, c, request, t.x.Route.Connect})
	}
}

func (t *transfer) dropCopies() {
	for _, c := range t.copies {
		c.Stats.MirrorsDropped.Add(1)
	}
}

// send has a copy sent, if there is room: for all mirrors together, and for one
// service, so that a slow one leaves room for others.
func (m *mirrors) send(c mirrorCopy) {
	most, service := int64(m.proxy.cfg.Limits.Mirrors), c.cluster.Service
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
			reportDefect(broken)
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
	e := c.cluster.Pick(nil)
	if e == nil {
		return false
	}
	e.Active.Add(1)
	defer e.Active.Add(-1)
	if up := e.Idle(c.shard.index, c.proxy.clock.Now()); up != nil {
		if answered, done := c.exchange(e, up); answered {
			return done
		}
	}
	up, err := e.Connect(&c.shard.pool, c.connect)
	if err != nil {
		return false
	}
	_, done := c.exchange(e, up)
	return done
}

// exchange runs one request and answer over a connection. answered tells
// whether anything came back, done whether all of it.
func (c *mirrorCopy) exchange(e *exchange.Endpoint, up *upstream.Conn) (answered, done bool) {
	if !c.hold(up) {
		up.Close()
		return true, false
	}
	defer c.release(up)
	until := c.proxy.clock.Now() + int64(mirrorTime)
	up.WriteBy(until)
	up.ReadBy(until)
	if _, _, err := up.SendFill(c.request); err != nil {
		up.Close()
		return false, false
	}
	done, reusable := c.drain(up)
	if !reusable || up.In != nil && up.In.Len() > 0 {
		up.Close()
		return true, done
	}
	up.ReleaseIn()
	e.Release(up, c.shard.index, c.proxy.clock.Now())
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
	l := c.proxy.cfg.Limits
	limits := msg.Limits{HeadBytes: l.HeaderBytes, TargetBytes: l.TargetBytes, Fields: l.HeaderFields}
	method, _, _ := bytes.Cut(c.request, []byte(" "))
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
	if up.In != nil && !up.In.MakeRoom(2*c.proxy.cfg.Limits.HeaderBytes) {
		return msg.ErrHeadTooLong
	}
	_, err := up.Fill()
	return err
}

// hold has stop end the exchange over a connection. It returns false when that
// was called already.
func (m *mirrors) hold(up *upstream.Conn) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopped {
		return false
	}
	if m.conns == nil {
		m.conns = map[*upstream.Conn]struct{}{}
	}
	m.conns[up] = struct{}{}
	return true
}

func (m *mirrors) release(up *upstream.Conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.conns, up)
}

// stop ends the copies that are under way: the proxy ends, and nobody waits for
// their answers.
func (m *mirrors) stop() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stopped = true
	for up := range m.conns {
		up.Interrupt()
	}
}
