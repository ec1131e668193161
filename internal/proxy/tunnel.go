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
	"windrose.dev/windrose/internal/proxy/mux"
	"windrose.dev/windrose/internal/proxy/route"
	"windrose.dev/windrose/internal/proxy/sock"
	"windrose.dev/windrose/internal/proxy/wire/http2"
	"windrose.dev/windrose/internal/reason"
)

// tunnel is an exchange that has switched protocols: bytes both ways, with no
// more requests in them. It holds no Generation.
type tunnel struct {
	client, up tunnelEnd
	idle       time.Duration
	proxy      *Proxy
	// The request that opened it, to be decided again when the configuration
	// changes.
	listener model.ListenerID
	request  *route.Request
	last     atomic.Int64 // the time of the last bytes, either way
	cut      atomic.Int32 // why it was ended, as an Outcome + 1; 0 while it was not
	socket   *webSocket   // what goes to its client; nil for other protocols
}

// tunnelEnd is one side of a tunnel: a connection, or a stream of one.
type tunnelEnd interface {
	LimitReads(now int64, limit time.Duration)
	LimitWrites(now int64, limit time.Duration)
	// receive waits for bytes, which took gives back; io.EOF is the end of them.
	receive() ([]byte, error)
	took()
	send(p []byte) error
	endWrites() error
	// Abort ends both directions at once.
	Abort()
}

// connEnd is a connection as the end of a tunnel.
type connEnd struct{ *sock.Conn }

func (c connEnd) receive() ([]byte, error) {
	if _, err := c.Fill(); err != nil {
		return nil, err
	}
	return c.In.Bytes(), nil
}

func (c connEnd) took()               { c.ReleaseIn() }
func (c connEnd) send(p []byte) error { _, err := c.Write(p); return err }

func (c connEnd) endWrites() error {
	if half, ok := c.Net().(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// streamEnd is a stream as the end of a tunnel (RFC 8441 §5).
type streamEnd struct{ *mux.Stream }

func (s streamEnd) receive() ([]byte, error) {
	if err := s.Wait(); err != nil {
		return nil, err
	}
	data, last := s.Data()
	if last && len(data) == 0 {
		return nil, io.EOF
	}
	return data, nil
}

func (s streamEnd) took()               { s.Took() }
func (s streamEnd) send(p []byte) error { return s.Write(p, false, nil) }
func (s streamEnd) endWrites() error    { return s.Write(nil, true, nil) }
func (s streamEnd) Abort()              { s.Reset(http2.Cancel) }

// switchProtocols forwards an answer that accepts another protocol, and becomes
// a tunnel (RFC 9110 §15.2.2, RFC 8441 §5).
func (t *transfer) switchProtocols() bool {
	h := &t.x.Resp
	t.commit()
	t.x.OnResponse()
	t.x.Stick(t.endpoint)
	h.Drop(msg.ContentLength)
	t.limitAnswer(t.proxy.clock.Now())
	if !t.wrote(t.client.accept(h)) {
		return false
	}
	up, fromUp := t.up.tunnel() // the head of the answer is no longer valid
	client, fromClient := t.client.tunnel()
	tun := t.newTunnel(client, up)
	t.client.KeepOnHangup(t.up.Partner())
	t.x.Unpin()
	t.x.Outcome = reason.Upgraded
	if tun.sendEarly(fromClient, fromUp) == nil {
		t.in, t.back = tun.run()
	}
	t.in, t.back = t.in+int64(len(fromClient)), t.back+int64(len(fromUp))
	if cut := tun.cut.Load(); cut != 0 {
		t.x.Outcome = reason.Outcome(cut - 1)
	}
	t.drop()
	t.client.abort()
	t.record()
	return false
}

// sendEarly passes on what has come before the tunnel was there.
func (t *tunnel) sendEarly(fromClient, fromUp []byte) error {
	if len(fromUp) > 0 {
		if err := t.send(t.client, fromUp); err != nil {
			return err
		}
	}
	if len(fromClient) > 0 {
		return t.send(t.up, fromClient)
	}
	return nil
}

// send writes to one end. What goes to the client of a WebSocket may end with a
// goodbye of ours.
func (t *tunnel) send(to tunnelEnd, data []byte) error {
	if to == t.client && t.socket != nil {
		return t.socket.send(t, data)
	}
	to.LimitWrites(t.last.Load(), t.idle)
	return to.send(data)
}

func (t *tunnel) endWrites(to tunnelEnd) error {
	if to == t.client && t.socket != nil {
		t.socket.end()
	}
	to.LimitWrites(t.last.Load(), t.idle)
	return to.endWrites()
}

func (t *transfer) newTunnel(client, up tunnelEnd) *tunnel {
	idle := t.proxy.cfg.Limits.TunnelTimeout
	if read := t.x.Route.Rule.Forward.ReadTimeout; read > 0 {
		idle = read
	}
	tun := &tunnel{
		client: client, up: up, idle: idle, proxy: t.proxy,
		listener: t.session.peer.Listener, request: t.x.View(),
	}
	tun.last.Store(t.proxy.clock.Now())
	if msg.EqualFold(t.upgrade, "websocket") {
		tun.socket = &webSocket{}
	}
	return tun
}

// run moves bytes until both sides have ended, one has failed, or both are
// silent for too long. It returns how many went to the backend, and to the
// client.
func (t *tunnel) run() (up, down int64) {
	t.proxy.tunnels.add(t)
	defer t.proxy.tunnels.remove(t)
	if t.socket != nil {
		defer t.socket.end() // a drain may be about to say goodbye
	}
	if t.proxy.live.Load().gen.Closed(t.listener, t.request) {
		t.close(reason.Closed) // the configuration changed in between
	}
	if t.proxy.stopping.Load() {
		t.leave() // the drain may have passed by before
	}
	done := make(chan int64, 1)
	t.proxy.serving.Go(func() {
		n := int64(0)
		defer func() {
			if broken := recover(); broken != nil {
				t.proxy.panicked(broken)
				t.interrupt()
			}
			done <- n
		}()
		n = t.pipe(t.client, t.up)
	})
	down = t.pipe(t.up, t.client)
	return <-done, down
}

// pipe moves bytes one way. When it fails it ends the other way too.
func (t *tunnel) pipe(from, to tunnelEnd) (n int64) {
	for {
		from.LimitReads(t.proxy.clock.Now(), t.idle)
		data, err := from.receive()
		now := t.proxy.clock.Now()
		switch {
		case errors.Is(err, io.EOF):
			if t.endWrites(to) != nil {
				t.interrupt()
			}
			return n
		case errors.Is(err, os.ErrDeadlineExceeded) && t.cut.Load() == 0 && now-t.last.Load() < int64(t.idle):
			continue // the other way is busy
		case err != nil:
			t.interrupt()
			return n
		}
		t.last.Store(now)
		if err := t.send(to, data); err != nil {
			t.interrupt()
			return n
		}
		n += int64(len(data))
		from.took()
	}
}

// interrupt ends both sides at once: a close in order could wait for a peer
// that takes nothing.
func (t *tunnel) interrupt() {
	t.client.Abort()
	t.up.Abort()
}

// close ends the tunnel at once. The first reason is the one that counts.
func (t *tunnel) close(why reason.Outcome) {
	t.cut.CompareAndSwap(0, int32(why)+1)
	t.interrupt()
}

// leave has the client of a WebSocket told that the server goes away.
func (t *tunnel) leave() {
	if t.socket != nil {
		t.proxy.serving.Go(func() { t.socket.leave(t) })
	}
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

// each calls do for all that are open now.
func (ts *tunnels) each(do func(*tunnel)) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for t := range ts.all {
		do(t)
	}
}

// reconsider closes the tunnels that gen would not open.
func (ts *tunnels) reconsider(gen *exchange.Generation) {
	ts.each(func(t *tunnel) {
		if gen.Closed(t.listener, t.request) {
			t.close(reason.Closed)
		}
	})
}
