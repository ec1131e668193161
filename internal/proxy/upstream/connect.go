package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"time"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy/mux"
	"windrose.dev/windrose/internal/proxy/sock"
	"windrose.dev/windrose/internal/proxy/wire/proxyproto"
	"windrose.dev/windrose/internal/reason"
)

// Errors of Connect.
var (
	// ErrTimeout: the endpoint did not accept in time.
	ErrTimeout = errors.New("the endpoint did not accept a connection in time")
	// ErrRefused: the connection could not be made.
	ErrRefused = errors.New("no connection to the endpoint could be made")
	// ErrHandshake is wrapped by errors that say why TLS could not be agreed upon.
	ErrHandshake = errors.New("no TLS with the endpoint")
)

// OutcomeOf says how an attempt to connect has failed.
func OutcomeOf(err error) reason.Outcome {
	switch {
	case errors.Is(err, ErrTimeout):
		return reason.ConnectTimeout
	case errors.Is(err, ErrHandshake):
		return reason.UpstreamTLSFailed
	}
	return reason.ConnectFailed
}

// Link is what a request is sent over: a connection of HTTP/1 for itself, or a
// stream of one of HTTP/2. One of the two is set.
type Link struct {
	Conn   *Conn
	Stream *mux.Stream
}

// Client is whose connection is passed on: its address, and the one that it has
// dialled. Endpoints that do not ask for it are not told.
type Client struct{ Addr, Dialled netip.AddrPort }

// sendsProxyHeader reports whether each connection begins with the header of a client.
func (p *Pool) sendsProxyHeader() bool { return p.Key.ProxyProtocol != model.NoProxyProtocol }

// sendProxyHeader begins a connection with the header of a client.
func (p *Pool) sendProxyHeader(ctx context.Context, conn *sock.Conn, client Client) error {
	var header []byte
	switch p.Key.ProxyProtocol {
	case model.NoProxyProtocol:
		return nil
	case model.ProxyV1:
		header = proxyproto.AppendText(nil, client.Addr, client.Dialled)
	case model.ProxyV2:
		header = proxyproto.AppendBinary(nil, client.Addr, client.Dialled)
	}
	if until, limited := ctx.Deadline(); limited {
		conn.WriteBy(p.registry.cfg.Clock.Now() + int64(time.Until(until)))
	}
	if _, err := conn.Write(header); err != nil {
		return ErrRefused
	}
	return nil
}

// Reuse finds a connection that is there already, of this shard's if it can. ok
// is false when there is none. now is the clock's time.
func (p *Pool) Reuse(shard int, now int64) (l Link, ok bool) {
	if p.sendsProxyHeader() {
		return l, false
	}
	if p.http2.Load() {
		l.Stream = p.shared[shard].open()
		return l, l.Stream != nil
	}
	l.Conn = p.Idle(shard, now)
	return l, l.Conn != nil
}

// Connect makes a connection for a client, or waits for one that is being made
// and can be shared: as long as its own timeout, not that of whoever makes it. The
// error is ErrTimeout or ErrRefused, or wraps ErrHandshake.
func (p *Pool) Connect(shard int, buffers *sock.Pool, timeout time.Duration, client Client) (Link, error) {
	if p.sendsProxyHeader() || !p.http2.Load() {
		return p.connect(shard, buffers, timeout, client)
	}
	list, until := &p.shared[shard], time.Now().Add(timeout)
	for {
		l, d, mine := list.join()
		switch {
		case l.Stream != nil:
			return l, nil
		case mine:
			l, err := p.connect(shard, buffers, time.Until(until), client)
			list.ended(d, err)
			return l, err
		}
		switch err := d.wait(time.Until(until)); {
		case err == ErrTimeout && time.Until(until) > 0:
			continue // it was in a greater hurry
		case err != nil:
			return Link{}, err
		case !p.http2.Load():
			return p.connect(shard, buffers, time.Until(until), client) // it has chosen HTTP/1 last
		}
	}
}

// connect makes a connection.
func (p *Pool) connect(shard int, buffers *sock.Pool, timeout time.Duration, client Client) (Link, error) {
	cfg := &p.registry.cfg
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	nc, err := cfg.Dial(ctx, p.Addr)
	switch {
	case err == nil:
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded):
		return Link{}, ErrTimeout
	default:
		return Link{}, ErrRefused
	}
	conn := sock.NewConn(nc, cfg.Clock, buffers, cfg.Hangups)
	if err := p.sendProxyHeader(ctx, conn, client); err != nil {
		conn.Close()
		return Link{}, err
	}
	http2 := p.Key.Protocol == model.HTTP2
	if p.tls != nil {
		if http2, err = p.handshake(ctx, conn); err != nil {
			conn.Close()
			return Link{}, err
		}
	}
	if !http2 {
		return Link{Conn: &Conn{Conn: conn}}, nil
	}
	return p.share(shard, conn, buffers), nil
}

// handshake secures a connection, and returns whether the endpoint has chosen
// HTTP/2 for it. For others it may choose differently.
func (p *Pool) handshake(ctx context.Context, conn *sock.Conn) (http2 bool, err error) {
	session := conn.WrapTLSClient(p.tls.Config)
	err = session.HandshakeContext(ctx)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return false, ErrTimeout
	default:
		return false, fmt.Errorf("%w: %w", ErrHandshake, err)
	}
	conn.EndHandshake()
	http2 = session.ConnectionState().NegotiatedProtocol == "h2"
	p.http2.Store(http2)
	return http2, nil
}

// share serves streams over a new connection, and opens the first: before others
// find it, and before it is left because the endpoint is retired meanwhile. That is
// the only one where the connection is one client's.
func (p *Pool) share(shard int, conn *sock.Conn, buffers *sock.Pool) Link {
	list := &p.shared[shard]
	var shared *mux.Conn
	shared = mux.NewClient(p.registry.cfg.HTTP2[shard], conn, buffers, p.registry.cfg.Clock, func() { list.remove(shared) })
	link := Link{}
	if p.sendsProxyHeader() {
		link.Stream = shared.OpenOnly()
	} else {
		link.Stream = shared.Open()
		list.add(shared)
	}
	go func() {
		defer conn.Close()
		defer list.remove(shared)
		defer func() {
			if broken := recover(); broken != nil {
				p.registry.cfg.Defect(broken)
			}
		}()
		shared.Run()
	}()
	if p.retired.Load() {
		shared.Leave(true)
	}
	return link
}

// sharedList are the connections of HTTP/2 to one endpoint that serve one shard.
type sharedList struct {
	mu      sync.Mutex
	conns   []*mux.Conn
	pending *dial
}

// dial is a connection that is being made, for all who wait for one.
type dial struct {
	done chan struct{}
	err  error
}

// wait waits for a dial, and returns how it has ended. ErrTimeout may be our own.
func (d *dial) wait(limit time.Duration) error {
	late := time.NewTimer(limit)
	defer late.Stop()
	select {
	case <-d.done:
		return d.err
	case <-late.C:
		return ErrTimeout
	}
}

// open opens a stream on the first connection that has room.
func (l *sharedList) open() *mux.Stream {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		if s := c.Open(); s != nil {
			return s
		}
	}
	return nil
}

// join opens a stream, or returns the dial to wait for, which may be the
// caller's to do.
func (l *sharedList) join() (link Link, d *dial, mine bool) {
	if link.Stream = l.open(); link.Stream != nil {
		return link, nil, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.pending != nil {
		return link, l.pending, false
	}
	l.pending = &dial{done: make(chan struct{})}
	return link, l.pending, true
}

// ended lets those who wait for a dial go on.
func (l *sharedList) ended(d *dial, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	d.err = err
	l.pending = nil
	close(d.done)
}

func (l *sharedList) add(c *mux.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns = append(l.conns, c)
}

func (l *sharedList) remove(c *mux.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, other := range l.conns {
		if other == c {
			l.conns = append(l.conns[:i], l.conns[i+1:]...)
			return
		}
	}
}

// leave has all shared connections end with their last streams.
func (p *Pool) leave() {
	for i := range p.shared {
		l := &p.shared[i]
		l.mu.Lock()
		conns := append([]*mux.Conn(nil), l.conns...)
		l.mu.Unlock()
		for _, c := range conns {
			c.Leave(true)
		}
	}
}
