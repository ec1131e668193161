package upstream

import (
	"context"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/observe"
	"windrose.dev/windrose/internal/proxy/balance"
	"windrose.dev/windrose/internal/proxy/mux"
	"windrose.dev/windrose/internal/proxy/resolve"
	"windrose.dev/windrose/internal/proxy/sock"
	"windrose.dev/windrose/internal/reason"
)

// DefaultIdle is how long a connection may lie idle. It stays below the 5 s
// after which common backends close theirs, so that a request rarely meets a
// connection that is just being closed.
const DefaultIdle = 4 * time.Second

// maxIdle bounds the idle connections of one pool in one shard.
const maxIdle = 256

// Config is what a Registry needs.
type Config struct {
	// Shards is the number of idle lists that a pool has.
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
	// Metrics counts for services, and lookups.
	Metrics *observe.Metrics
	// AffinityKey makes the tokens by which clients come back to their endpoint. All
	// proxies that serve the same clients need the same.
	AffinityKey []byte
	// Sessions keep TLS sessions with endpoints; nil resumes none.
	Sessions *Sessions
	// Draw gives random numbers; nil draws them.
	Draw func() uint64
}

// Registry keeps hosts, pools and clusters over Generations. Its methods may be called
// from any goroutine, but for Prepare and what comes of it: one at a time.
type Registry struct {
	cfg      Config
	mu       sync.Mutex
	hosts    map[netip.AddrPort]*Host
	pools    map[Key]*Pool
	services map[model.ServiceID]*Service
	clusters map[model.ServiceID]*Cluster // by service
	names    names
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
	if cfg.Draw == nil {
		cfg.Draw = rand.Uint64
	}
	if cfg.Lookup == nil {
		cfg.Lookup = (&resolve.Resolver{}).Lookup
	}
	return &Registry{
		cfg: cfg, hosts: map[netip.AddrPort]*Host{}, pools: map[Key]*Pool{}, services: map[model.ServiceID]*Service{}, clusters: map[model.ServiceID]*Cluster{},
		names: names{all: map[string]*Name{}, fresh: make(chan struct{}, 1)},
	}
}

// Transport is how endpoints are spoken to.
type Transport struct {
	Protocol model.BackendProtocol
	// TLS is nil for plain text.
	TLS *TLS
	// ProxyProtocol has every connection begin with the header of the one client that
	// it is for.
	ProxyProtocol model.ProxyProtocol
}

// Key is what connections to an endpoint are shared by.
func (t Transport) Key(addr netip.AddrPort) Key {
	key := t.TLS.Key(addr, t.Protocol)
	key.ProxyProtocol = t.ProxyProtocol
	return key
}

// Host is one address, whatever ways it is spoken to: what is found out about it over
// one of them holds for all.
type Host struct {
	Addr netip.AddrPort
	// Name is Addr as text.
	Name string
	// Active is the number of requests, connections and flows under way.
	Active atomic.Int64
	// Failures is how often it has failed in a row.
	Failures atomic.Uint32

	pools int // guarded by Registry.mu
}

// learn takes in how a use of the address ended.
func (h *Host) learn(r Result) {
	switch {
	case r.failed():
		h.Failures.Add(1)
	case r.Outcome == reason.OK && r.Status != 0 && h.Failures.Load() != 0:
		h.Failures.Store(0)
	}
}

// use returns the pools of endpoints, which then have one user more.
func (r *Registry) use(endpoints []netip.AddrPort, t Transport) []*Pool {
	out := make([]*Pool, len(endpoints))
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, addr := range endpoints {
		key := t.Key(addr)
		p := r.pools[key]
		if p == nil {
			p = r.newPool(key, t)
			r.pools[key] = p
		}
		p.users++
		out[i] = p
	}
	return out
}

// newPool makes a pool. The mutex is held.
func (r *Registry) newPool(key Key, t Transport) *Pool {
	h := r.hosts[key.Addr]
	if h == nil {
		h = &Host{Addr: key.Addr, Name: key.Addr.String()}
		r.hosts[key.Addr] = h
	}
	h.pools++
	p := &Pool{Host: h, Key: key, tls: t.TLS, registry: r, idle: make([]idleList, r.cfg.Shards)}
	if t.Protocol == model.HTTP2 || t.Protocol == model.Negotiated {
		p.shared = make([]sharedList, r.cfg.Shards)
	}
	p.http2.Store(t.Protocol == model.HTTP2)
	return p
}

// unuse takes a user off pools. Those without any are retired: their idle connections
// are closed at once, and the others when they come back.
func (r *Registry) unuse(pools []*Pool) {
	var retired []*Pool
	r.mu.Lock()
	for _, p := range pools {
		if p.users--; p.users > 0 {
			continue
		}
		delete(r.pools, p.Key)
		if p.Host.pools--; p.Host.pools == 0 {
			delete(r.hosts, p.Host.Addr)
		}
		retired = append(retired, p)
	}
	r.mu.Unlock()
	for _, p := range retired {
		p.retired.Store(true)
		p.closeIdle(0, true)
		p.leave()
	}
}

// Pool returns the pool of an address, if a live endpoint has it.
func (r *Registry) Pool(addr netip.AddrPort, t Transport) *Pool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pools[t.Key(addr)]
}

// service returns what outlives Generations of a service.
func (r *Registry) service(id model.ServiceID) *Service {
	r.mu.Lock()
	defer r.mu.Unlock()
	live := r.services[id]
	if live == nil {
		live = &Service{ID: id, Name: id.String()}
		r.services[id] = live
	}
	return live
}

// Run closes idle connections when their time has come, and looks names up,
// until ctx ends; then it closes them all.
func (r *Registry) Run(ctx context.Context) error {
	tick := time.NewTicker(r.cfg.Idle / 4)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			r.close()
			r.names.running.Wait()
			return ctx.Err()
		case <-r.names.fresh:
			r.startNames(ctx)
		case <-tick.C:
			before := r.cfg.Clock.Now() - int64(r.cfg.Idle)
			for _, p := range r.all() {
				p.closeIdle(before, false)
			}
		}
	}
}

func (r *Registry) all() []*Pool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Values(r.pools))
}

// Size is the number of live pools, services and idle connections.
func (r *Registry) Size() (pools, services, idle int) {
	for _, p := range r.all() {
		pools++
		for i := range p.idle {
			p.idle[i].mu.Lock()
			idle += len(p.idle[i].conns)
			p.idle[i].mu.Unlock()
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return pools, len(r.services), idle
}

// Service is what outlives Generations of one service.
type Service struct {
	ID model.ServiceID
	// Name is ID as text.
	Name string
	// Retrying counts attempts under way that a policy has repeated, and
	// Mirroring copies of requests under way.
	Retrying, Mirroring atomic.Int64

	turn balance.State
}
