package proxy

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/observe"
	"windrose.dev/windrose/internal/proxy/engine"
	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/proxy/frontend"
	"windrose.dev/windrose/internal/proxy/httpx"
	"windrose.dev/windrose/internal/proxy/l4"
	"windrose.dev/windrose/internal/proxy/mux"
	"windrose.dev/windrose/internal/proxy/resolve"
	"windrose.dev/windrose/internal/proxy/settings"
	"windrose.dev/windrose/internal/proxy/sock"
	"windrose.dev/windrose/internal/proxy/upstream"
	"windrose.dev/windrose/internal/reason"
)

// Config is what a Proxy needs. Metrics and Filters are required.
type Config struct {
	Filters []exchange.FilterSpec
	Metrics *observe.Metrics
	// Log may be nil.
	Log    *observe.Log
	Limits settings.Limits
	// Trusted are the peers that are believed when they say who their client
	// is.
	Trusted []netip.Prefix
	// ProxyProtocolFrom are the peers that say by PROXY protocol whose connection
	// they pass on. Each of their TCP connections must begin with such a header.
	ProxyProtocolFrom []netip.Prefix
	// Address gives the address on which a listener is opened; nil is the
	// listener's own, and for one without that its port on all addresses.
	Address func(model.Listener) string
	// Listen opens a listener; nil is net.Listen.
	Listen func(address string) (net.Listener, error)
	// HandedOver reports whether another process may hold what Listen has opened, too;
	// nil is that none does.
	HandedOver func() bool
	// HTTP3 serves HTTP/3 beside each HTTPS listener; nil does not.
	HTTP3 frontend.HTTP3
	// ListenUDP opens a listener of UDP; nil is net.ListenUDP.
	ListenUDP func(address string) (*net.UDPConn, error)
	// Dial makes connections to endpoints; nil dials TCP.
	Dial func(ctx context.Context, addr netip.AddrPort) (net.Conn, error)
	// DialUDP makes a socket that is connected to an endpoint; nil is
	// sock.DialDatagrams.
	DialUDP func(addr netip.AddrPort, get func() []byte, put func([]byte)) (*sock.Datagrams, error)
	// Lookup finds the addresses of host names; nil does so as the system would.
	Lookup func(ctx context.Context, host string) (resolve.Answer, error)
	// LoopbackNames lets host names of Services lead to loopback addresses. Without
	// it whoever writes a Service could reach what listens beside the proxy.
	LoopbackNames bool
	// Warn is told what goes wrong beside the exchanges; it may be nil.
	Warn func(text string)
	// AffinityKey signs the tokens of sessions. Proxies that serve the same
	// clients need the same; nil draws one.
	AffinityKey []byte
	// Draw gives the random numbers of decisions and choices; nil draws them.
	Draw func() uint64
	// ExplainToken lets a request that carries it in X-Windrose-Explain have its
	// decision in the answer's X-Windrose-Explained; empty lets none.
	ExplainToken string
	// DrainGrace is how long a draining proxy keeps accepting, and DrainWait
	// how long it then waits for exchanges to end.
	DrainGrace, DrainWait time.Duration
}

// defaults fills in what may be nil.
func (cfg *Config) defaults() {
	if cfg.Address == nil {
		cfg.Address = ownAddress
	}
	if cfg.Listen == nil {
		cfg.Listen = func(address string) (net.Listener, error) { return net.Listen("tcp", address) }
	}
	if cfg.ListenUDP == nil {
		cfg.ListenUDP = listenUDP
	}
	if cfg.DialUDP == nil {
		cfg.DialUDP = sock.DialDatagrams
	}
	if cfg.AffinityKey == nil {
		cfg.AffinityKey = make([]byte, 32)
		rand.Read(cfg.AffinityKey)
	}
}

// ownAddress is the address that a listener asks for itself.
func ownAddress(l model.Listener) string {
	return cmp.Or(l.Address, fmt.Sprintf(":%d", l.ID.Port))
}

func listenUDP(address string) (*net.UDPConn, error) {
	addr, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return nil, err
	}
	return net.ListenUDP("udp", addr)
}

// Proxy serves Snapshots. Its methods may be called from any goroutine.
type Proxy struct {
	cfg      Config
	engine   *engine.Engine
	registry *upstream.Registry
	compiler exchange.Compiler
	tls      *frontend.TLSCompiler

	// The rooms.
	frontend *frontend.Server
	http     *httpx.Server
	l4       *l4.Server

	live atomic.Pointer[live]

	mu      sync.Mutex // guards Apply and what follows
	sockets sockets
	reports []reason.Report // of the live Generation
	// listenerReports are those of them that are about listeners.
	listenerReports []reason.Report
	closed          bool
}

// live is what serves now: swapped as one.
type live struct {
	gen       *exchange.Generation
	listeners frontend.Compiled
}

// New makes a Proxy that serves nothing yet.
func New(cfg Config) (*Proxy, error) {
	hangups, err := sock.NewHangups()
	if err != nil {
		return nil, err
	}
	cfg.defaults()
	p := &Proxy{cfg: cfg, sockets: sockets{}, tls: frontend.NewTLSCompiler(cfg.Limits.TLS)}
	p.engine = engine.New(engine.Config{
		Limits: cfg.Limits, Sink: &observe.Sink{Metrics: cfg.Metrics, Log: cfg.Log}, Clock: sock.NewClock(), Hangups: hangups,
	})
	http2 := http2Configs(p.engine)
	p.registry = upstream.NewRegistry(upstream.Config{
		Shards: len(http2), Clock: p.engine.Clock, Hangups: hangups, Dial: cfg.Dial, HTTP2: http2, Defect: p.engine.Panicked,
		Lookup: cfg.Lookup, LoopbackNames: cfg.LoopbackNames, Changed: p.namesChanged, Warn: cfg.Warn, Metrics: cfg.Metrics,
		AffinityKey: cfg.AffinityKey, Sessions: &upstream.Sessions{}, Draw: cfg.Draw,
	})
	p.compiler = exchange.Compiler{Filters: cfg.Filters, Registry: p.registry, Metrics: cfg.Metrics, AffinityKey: cfg.AffinityKey, Draw: cfg.Draw}
	empty, _, err := p.compiler.Compile(model.Freeze(model.Parts{}), nil)
	if err != nil {
		return nil, err
	}
	empty.Number = 0
	p.live.Store(&live{gen: empty})
	p.furnish(http2)
	return p, nil
}

// furnish makes the rooms.
func (p *Proxy) furnish(http2 []*mux.Config) {
	cfg := &p.cfg
	p.l4 = l4.New(l4.Config{Engine: p.engine, Generation: p.Generation, DialUDP: cfg.DialUDP, Trusts: func(addr netip.Addr) bool { return p.frontend.Trusts(addr) }})
	p.http = httpx.New(httpx.Config{Engine: p.engine, Generation: p.Generation, L4: p.l4, ExplainToken: cfg.ExplainToken})
	p.frontend = frontend.New(frontend.Config{
		Engine: p.engine, HTTP: p.http, L4: p.l4, HTTP2: http2, HTTP3: cfg.HTTP3, Generation: p.Generation,
		Compiled: func() *frontend.Compiled { return &p.live.Load().listeners },
		Trusted:  cfg.Trusted, ProxyProtocolFrom: cfg.ProxyProtocolFrom, AddressPort: p.addressPort, LeaveWait: cfg.DrainWait, HandedOver: cfg.HandedOver,
	})
}

// pingTimeout is how long the other side of an HTTP/2 connection may take to
// give a sign of life.
const pingTimeout = 15 * time.Second

// http2Configs are what connections of HTTP/2 need, on both sides, by shard.
func http2Configs(e *engine.Engine) []*mux.Config {
	l, out := &e.Limits, make([]*mux.Config, len(e.Shards))
	for i, shard := range e.Shards {
		out[i] = &mux.Config{
			Limits: l.Head(), MaxStreams: uint32(l.Streams), WriteTimeout: l.BodyTimeout, Header: l.HeaderTimeout, Idle: l.IdleTimeout, PingTimeout: pingTimeout,
			Discard: l.Discard, Growth: &e.Growth, Full: shard.FarBeyond,
		}
	}
	return out
}

// Generation is the one that serves now.
func (p *Proxy) Generation() *exchange.Generation { return p.live.Load().gen }

// Registry holds the live things towards backends.
func (p *Proxy) Registry() *upstream.Registry { return p.registry }

// Sink is where what is observed goes.
func (p *Proxy) Sink() *observe.Sink { return p.engine.Sink }

// Connections is the number of open client connections.
func (p *Proxy) Connections() int64 { return p.frontend.Open() }

// Addr is the address on which a listener listens, or nil.
func (p *Proxy) Addr(id model.ListenerID) net.Addr {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sockets.addr(id)
}

// ErrClosed is returned by Apply when the proxy has stopped accepting.
var ErrClosed = errors.New("the proxy has stopped")

// Apply makes s what the proxy serves. It returns when new exchanges are
// served by it. What s asks for and this proxy cannot give is reported, and
// closed; an error means that s cannot be compiled, and the proxy goes on with
// what it had.
func (p *Proxy) Apply(s *model.Snapshot) ([]reason.Report, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, ErrClosed
	}
	old := p.live.Load()
	if p.serves(old.gen, s) {
		return p.reports, nil
	}
	gen, reports, err := p.compiler.Compile(s, old.gen)
	if err != nil {
		return nil, fmt.Errorf("compile snapshot %s: %w", s.Root, err)
	}
	if s.SecretsHash == old.gen.Snapshot.SecretsHash && gen.SharesRoutes(old.gen) && len(p.lacking(s)) == 0 {
		p.live.Store(&live{gen: gen, listeners: old.listeners})
		p.reports = append(reports, p.listenerReports...)
	} else {
		p.swap(s, gen, reports)
	}
	p.cfg.Metrics.SetState(func(state *observe.State) {
		state.Generation, state.Hash, state.Since = gen.Number, s.Root.String(), time.Now()
		state.Routes, state.Services = gen.Routes, len(gen.Clusters)
	})
	return p.reports, nil
}

// swap has gen be live, with the listeners of its snapshot and their certificates.
func (p *Proxy) swap(s *model.Snapshot, gen *exchange.Generation, reports []reason.Report) {
	tls, tlsReports := p.tls.Compile(s)
	change, socketReports := p.prepare(s)
	p.listenerReports = slices.Concat(tlsReports, socketReports)
	p.reports = append(reports, p.listenerReports...)
	p.live.Store(&live{gen: gen, listeners: frontend.Compile(gen, tls, p.publicPorts(s))})
	p.commit(change)
	rules := gen.Rules()
	p.cfg.Metrics.Retain(func(id string) bool { return rules[id] }, func(id string) bool { return gen.Clusters[model.ParseServiceID(id)] != nil })
	p.reconsider(gen)
}

// reconsider asks of all that is open whether what is live would let it in.
func (p *Proxy) reconsider(gen *exchange.Generation) {
	p.l4.Reconsider(gen)
	for _, l := range p.sockets.udp() {
		l.Reconsider(gen)
	}
	p.frontend.Reconsider()
}

// serves reports whether s is what gen serves already, on listeners that are all
// open.
func (p *Proxy) serves(gen *exchange.Generation, s *model.Snapshot) bool {
	return gen.Number > 0 && gen.Snapshot.Root == s.Root && len(p.lacking(s)) == 0 && maps.Equal(gen.Snapshot.Origins, s.Origins)
}

// namesChanged has clusters let go of the endpoints that host names led to and lead to
// no more.
func (p *Proxy) namesChanged() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.registry.RenewNamed()
}

// publicPorts finds what clients dial to reach the listeners of a snapshot.
func (p *Proxy) publicPorts(s *model.Snapshot) map[model.ListenerID]uint16 {
	out := make(map[model.ListenerID]uint16, len(s.Config.Listeners))
	for _, want := range s.Config.Listeners {
		out[want.ID] = p.addressPort(want)
		if l := p.sockets.tcp(want.ID); l != nil {
			out[want.ID] = l.Public
		}
	}
	return out
}

// addressPort is the port of the address for a listener, where it names one.
func (p *Proxy) addressPort(l model.Listener) uint16 {
	_, text, err := net.SplitHostPort(p.cfg.Address(l))
	if err != nil {
		return l.ID.Port
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return l.ID.Port
	}
	return uint16(n)
}
