package upstream

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/observe"
	"windrose.dev/windrose/internal/proxy/balance"
	"windrose.dev/windrose/internal/proxy/mux"
	"windrose.dev/windrose/internal/proxy/resolve"
	"windrose.dev/windrose/internal/proxy/sock"
)

// DefaultIdle is how long a connection may lie idle. It stays below the 5 s
// after which common backends close theirs, so that a request rarely meets a
// connection that is just being closed.
const DefaultIdle = 4 * time.Second

// maxIdle bounds the idle connections of one endpoint in one shard.
const maxIdle = 256

// Config is what a Registry needs.
type Config struct {
	// Shards is the number of idle lists an endpoint has.
	Shards int
	// Idle is how long a connection may lie idle; 0 is DefaultIdle.
	Idle time.Duration
	// Clock and Hangups serve the connections. Hangups may be nil.
	Clock   *sock.Clock
	Hangups *sock.Hangups
	// Dial makes a connection; nil dials TCP.
	Dial func(ctx context.Context, addr netip.AddrPort) (net.Conn, error)
	// HTTP2 is what connections of HTTP/2 need, for each shard.
	HTTP2 []*mux.Config
	// Defect is told of panics that were contained; nil lets them go on.
	Defect func(broken any)
	// Lookup finds the addresses of a host; nil does so as the system would.
	Lookup func(ctx context.Context, host string) (resolve.Answer, error)
	// LoopbackNames lets names lead to loopback addresses.
	LoopbackNames bool
	// Changed is called when a name has other addresses; Warn when one cannot be
	// looked up, or can be again. Both may be nil, and are called from any
	// goroutine.
	Changed func()
	Warn    func(text string)
	// Names counts lookups; it may be nil.
	Names *observe.Names
}

// Registry keeps endpoints and services by key, over Generations.
type Registry struct {
	cfg       Config
	mu        sync.Mutex
	endpoints map[Key]*Endpoint
	services  map[string]*Service
	names     names
}

// NewRegistry makes an empty Registry.
func NewRegistry(cfg Config) *Registry {
	if cfg.Idle <= 0 {
		cfg.Idle = DefaultIdle
	}
	if cfg.Defect == nil {
		cfg.Defect = func(broken any) { panic(broken) }
	}
	if cfg.Dial == nil {
		dialer := &net.Dialer{}
		cfg.Dial = func(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
			return dialer.DialContext(ctx, "tcp", addr.String())
		}
	}
	if cfg.Lookup == nil {
		cfg.Lookup = (&resolve.Resolver{}).Lookup
	}
	return &Registry{
		cfg: cfg, endpoints: map[Key]*Endpoint{}, services: map[string]*Service{},
		names: names{all: map[string]*Name{}, fresh: make(chan struct{}, 1)},
	}
}

// Way is how endpoints are spoken to.
type Way struct {
	Protocol model.BackendProtocol
	// TLS is nil for plain text.
	TLS *TLS
	// SendProxy has every connection begin with the header of the one client that
	// it is for.
	SendProxy model.ProxyProtocol
}

// Key is what connections to an endpoint are shared by.
func (w Way) Key(addr netip.AddrPort) Key {
	key := w.TLS.Key(addr, w.Protocol)
	key.SendProxy = w.SendProxy
	return key
}

// Endpoint returns the live endpoint at addr, as it is spoken to.
func (r *Registry) Endpoint(addr netip.AddrPort, way Way) *Endpoint {
	key := way.Key(addr)
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.endpoints[key]
	if e == nil {
		e = &Endpoint{
			Addr: addr, Name: addr.String(), Key: key, tls: way.TLS, registry: r,
			idle: make([]idleList, r.cfg.Shards),
		}
		if way.Protocol == model.HTTP2 || way.Protocol == model.Negotiated {
			e.shared = make([]sharedList, r.cfg.Shards)
		}
		e.http2.Store(way.Protocol == model.HTTP2)
		r.endpoints[key] = e
	}
	return e
}

// Service returns the live part of a service.
func (r *Registry) Service(s model.Service) *Service {
	r.mu.Lock()
	defer r.mu.Unlock()
	live := r.services[s.ID]
	if live == nil || live.policy != s.Balance {
		live = &Service{ID: s.ID, policy: s.Balance, Picker: balance.New(s.Balance)}
		r.services[s.ID] = live
	}
	return live
}

// Retain retires the endpoints and services that are not named.
func (r *Registry) Retain(endpoint func(Key) bool, service func(id string) bool) {
	r.mu.Lock()
	var retired []*Endpoint
	for key, e := range r.endpoints {
		if !endpoint(key) {
			delete(r.endpoints, key)
			retired = append(retired, e)
		}
	}
	for id := range r.services {
		if !service(id) {
			delete(r.services, id)
		}
	}
	r.mu.Unlock()
	for _, e := range retired {
		e.retired.Store(true)
		e.closeIdle(0, true)
		e.leave()
	}
}

// Run closes idle connections when their time has come, and looks names up,
// until ctx ends; then it closes them all.
func (r *Registry) Run(ctx context.Context) error {
	tick := time.NewTicker(r.cfg.Idle / 4)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			none := func(Key) bool { return false }
			r.Retain(none, func(string) bool { return false })
			r.names.running.Wait()
			return ctx.Err()
		case <-r.names.fresh:
			r.startNames(ctx)
		case <-tick.C:
			before := r.cfg.Clock.Now() - int64(r.cfg.Idle)
			for _, e := range r.all() {
				e.closeIdle(before, false)
			}
		}
	}
}

func (r *Registry) all() []*Endpoint {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]*Endpoint, 0, len(r.endpoints))
	for _, e := range r.endpoints {
		out = append(out, e)
	}
	return out
}

// Size is the number of live endpoints, services and idle connections.
func (r *Registry) Size() (endpoints, services, idle int) {
	for _, e := range r.all() {
		endpoints++
		for i := range e.idle {
			e.idle[i].mu.Lock()
			idle += len(e.idle[i].conns)
			e.idle[i].mu.Unlock()
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return endpoints, len(r.services), idle
}

// Service is what outlives Generations of one service.
type Service struct {
	ID     string
	Picker balance.Picker
	// Retrying counts attempts under way that a policy has repeated, and
	// Mirroring copies of requests under way.
	Retrying, Mirroring atomic.Int64

	policy model.Balance
}

// Endpoint is one address with its idle connections and its load.
type Endpoint struct {
	Addr netip.AddrPort
	// Name is Addr as text.
	Name string
	// Key tells it apart from the same address spoken to otherwise.
	Key Key
	// Active is the number of requests under way.
	Active atomic.Int64

	tls *TLS // nil for plain text
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

// Retired tells whether the live configuration has the endpoint no more.
func (e *Endpoint) Retired() bool { return e.retired.Load() }

// looksAfter is how long a connection may be idle without being looked at when
// it is taken again. Bytes that nobody asked for mostly come with the answer's
// last ones, or soon after; a look costs a system call.
const looksAfter = time.Millisecond

// Idle takes an idle connection, of this shard's if there is one. It returns
// nil when there is none. now is the clock's time.
func (e *Endpoint) Idle(shard int, now int64) *Conn {
	for i := range e.idle {
		if c := e.take((shard+i)%len(e.idle), now); c != nil {
			return c
		}
	}
	return nil
}

func (e *Endpoint) take(shard int, now int64) *Conn {
	l := &e.idle[shard]
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
		looks := c.Doubtful || now-c.since > int64(looksAfter)
		if !c.Gone() && (!looks || c.Quiet()) {
			c.Reused, c.Doubtful = true, false
			return c
		}
		c.Close()
	}
}

// Release gives a connection back that is ready for the next request. now is
// the clock's time.
func (e *Endpoint) Release(c *Conn, shard int, now int64) {
	if c.Left() || e.announced() {
		// Bytes that nobody asked for: the next answer cannot be trusted. Or the next
		// request is not this client's.
		c.Close()
		return
	}
	c.since = now
	l := &e.idle[shard]
	l.mu.Lock()
	if e.retired.Load() || len(l.conns) >= maxIdle {
		l.mu.Unlock()
		c.Close()
		return
	}
	l.conns = append(l.conns, c)
	l.mu.Unlock()
}

// closeIdle closes the connections that have been idle since before, or all.
func (e *Endpoint) closeIdle(before int64, all bool) {
	for i := range e.idle {
		l := &e.idle[i]
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
