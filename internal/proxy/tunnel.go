package proxy

import (
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/route"
	"windrose.dev/windrose/internal/proxy/sock"
	"windrose.dev/windrose/internal/proxy/wire/http1"
	"windrose.dev/windrose/internal/reason"
)

// tunnel is a connection that has switched protocols: bytes both ways, with no
// more requests in them. It holds no Generation.
type tunnel struct {
	client, up *sock.Conn
	idle       time.Duration
	proxy      *Proxy
	// The request that opened it, to be decided again when the configuration
	// changes.
	listener model.ListenerID
	request  *route.Request
	last     atomic.Int64 // the time of the last bytes, either way
	cut      atomic.Bool  // closed by a new configuration
}

// switchProtocols forwards a 101 answer and becomes a tunnel (RFC 9110 §15.2.2).
func (t *transfer) switchProtocols() bool {
	h := &t.x.Resp
	if t.upgrade == nil || !http1.AsksFor(t.upgrade, h.Get(msg.Upgrade)) {
		t.fail(reason.UpstreamInvalid, "it switched to a protocol that was not asked for")
		return t.answer()
	}
	t.commit()
	protocol := append([]byte(nil), h.Get(msg.Upgrade)...)
	t.x.OnResponse()
	t.x.Stick(t.endpoint)
	h.Drop(msg.ContentLength)
	h.Add(msg.Connection, "Connection", []byte("Upgrade"))
	h.Add(msg.Upgrade, "Upgrade", protocol)
	client, up := &t.http1Client, &t.http1Backend
	t.out = append(http1.AppendResponse(t.out[:0], h), up.In.Bytes()[up.used:]...)
	up.ReleaseIn()
	t.limitAnswer(t.proxy.clock.Now())
	if !t.wrote(client.Write(t.out)) {
		return false
	}
	early := append([]byte(nil), client.In.Bytes()[client.headBytes:]...)
	tun := t.newTunnel()
	t.client.KeepOnHangup(t.up.Partner())
	t.x.Unpin()
	t.x.Outcome = reason.Upgraded
	var err error
	if len(early) > 0 {
		_, err = up.Write(early)
	}
	if err == nil {
		t.in, t.back = tun.run(int64(len(early)))
	}
	if tun.cut.Load() {
		t.x.Outcome = reason.Closed
	}
	t.drop()
	t.client.abort()
	t.record()
	return false
}

func (t *transfer) newTunnel() *tunnel {
	idle := t.proxy.cfg.Limits.TunnelTimeout
	if read := t.x.Route.Rule.Forward.ReadTimeout; read > 0 {
		idle = read
	}
	tun := &tunnel{
		client: t.http1Client.Conn, up: t.http1Backend.Conn.Conn, idle: idle, proxy: t.proxy,
		listener: t.session.peer.Listener, request: t.x.View(),
	}
	// The head of the request stays, for the log and for whoever decides anew;
	// the tunnel reads into a buffer of its own.
	t.client.park()
	return tun
}

// run moves bytes until both sides have ended, one has failed, or both are
// silent for too long. It returns how many went to the backend, early ones
// included, and to the client.
func (t *tunnel) run(early int64) (up, down int64) {
	t.last.Store(t.proxy.clock.Now())
	t.proxy.tunnels.add(t)
	defer t.proxy.tunnels.remove(t)
	if t.proxy.live.Load().gen.Closed(t.listener, t.request) {
		t.close() // the configuration changed in between
	}
	done := make(chan int64, 1)
	t.proxy.serving.Go(func() {
		n := int64(0)
		defer func() {
			if broken := recover(); broken != nil {
				reportDefect(broken)
				t.interrupt()
			}
			done <- n
		}()
		n = t.pipe(t.client, t.up)
	})
	down = t.pipe(t.up, t.client)
	return early + <-done, down
}

// pipe moves bytes one way. When it fails it ends the other way too.
func (t *tunnel) pipe(from, to *sock.Conn) (n int64) {
	for {
		from.LimitReads(t.proxy.clock.Now(), t.idle)
		_, err := from.Fill()
		now := t.proxy.clock.Now()
		switch {
		case errors.Is(err, io.EOF):
			if closeWrite(to) != nil {
				t.interrupt()
			}
			return n
		case errors.Is(err, os.ErrDeadlineExceeded) && !t.cut.Load() && now-t.last.Load() < int64(t.idle):
			continue // the other way is busy
		case err != nil:
			t.interrupt()
			return n
		}
		t.last.Store(now)
		to.LimitWrites(now, t.idle)
		if _, err := to.Write(from.In.Bytes()); err != nil {
			t.interrupt()
			return n
		}
		n += int64(from.In.Len())
		from.ReleaseIn()
	}
}

func closeWrite(c *sock.Conn) error {
	if half, ok := c.Net().(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// interrupt ends both sides at once: a close in order could wait for a peer
// that takes nothing.
func (t *tunnel) interrupt() {
	t.client.Abort()
	t.up.Abort()
}

// close ends the tunnel because of a new configuration.
func (t *tunnel) close() {
	t.cut.Store(true)
	t.interrupt()
}

// tunnels are all that are open.
type tunnels struct {
	mu  sync.Mutex
	all map[*tunnel]struct{}
}

func (ts *tunnels) add(t *tunnel) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.all == nil {
		ts.all = map[*tunnel]struct{}{}
	}
	ts.all[t] = struct{}{}
}

func (ts *tunnels) remove(t *tunnel) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	delete(ts.all, t)
}

// reconsider closes the tunnels that gen would not open.
func (ts *tunnels) reconsider(gen *exchange.Generation) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for t := range ts.all {
		if gen.Closed(t.listener, t.request) {
			t.close()
		}
	}
}
