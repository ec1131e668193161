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
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/observe"
	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/proxy/resolve"
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
	Limits Limits
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
	// HTTP3 serves HTTP/3 beside each HTTPS listener; nil does not.
	HTTP3 HTTP3
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
	// SessionKey signs the tokens of sessions. Proxies that serve the same
	// clients need the same; nil draws one.
	SessionKey []byte
	// ExplainToken lets a request that carries it in X-Windrose-Explain have its
	// decision in the answer's X-Windrose-Explained; empty lets none.
	ExplainToken string
	// DrainGrace is how long a draining proxy keeps accepting, and DrainWait
	// how long it then waits for exchanges to end.
	DrainGrace, DrainWait time.Duration
}

// Proxy serves Snapshots. Its methods may be called from any goroutine.
type Proxy struct {
	cfg      Config
	clock    *sock.Clock
	hangups  *sock.Hangups
	registry *upstream.Registry
	compiler exchange.Compiler
	tickets  *ticketKeys
	certs    certificateCache
	shards   []*shard
	clients  clientCounts
	tunnels  tunnels
	conduits conduits
	udp      udp
	mirrors  mirrors

	live     atomic.Pointer[live]
	next     atomic.Uint64 // of the shard for the next connection
	open     atomic.Int64  // client connections
	serving  sync.WaitGroup
	maxOut   int64 // bytes of buffers that one shard may have out
	draining atomic.Bool
	stopping atomic.Bool   // idle connections are closed
	growth   atomic.Int64  // what windows may still grow by, in bytes
	stopped  chan struct{} // closed when all were found that were idle then

	mu        sync.Mutex // guards Apply and what follows
	listeners map[model.ListenerID]*listener
	reports   []reason.Report // of the live Generation
	closed    bool
}

// live is what serves now: swapped as one.
type live struct {
	gen *exchange.Generation
	tls map[model.ListenerID]*tlsListener
	// public tells what clients dial to reach a listener.
	public map[model.ListenerID]uint16
}

// New makes a Proxy that serves nothing yet.
func New(cfg Config) (*Proxy, error) {
	hangups, err := sock.NewHangups()
	if err != nil {
		return nil, err
	}
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
	p := &Proxy{
		cfg: cfg, clock: sock.NewClock(), hangups: hangups,
		tickets: newTicketKeys(), listeners: map[model.ListenerID]*listener{}, stopped: make(chan struct{}),
		shards: make([]*shard, cfg.Metrics.ShardCount()),
	}
	p.mirrors.proxy = p
	p.udp.listeners = map[model.ListenerID]*udpListener{}
	p.growth.Store(cfg.Limits.WindowBytes)
	for i := range p.shards {
		p.shards[i] = newShard(p, i)
	}
	p.registry = upstream.NewRegistry(upstream.Config{
		Shards: len(p.shards), Clock: p.clock, Hangups: hangups, Dial: cfg.Dial, HTTP2: p.http2Configs(), Defect: p.panicked,
		Lookup: cfg.Lookup, LoopbackNames: cfg.LoopbackNames, Changed: p.namesChanged, Warn: cfg.Warn, Names: &cfg.Metrics.Names,
	})
	if cfg.SessionKey == nil {
		cfg.SessionKey = make([]byte, 32)
		rand.Read(cfg.SessionKey)
	}
	p.compiler = exchange.Compiler{Filters: cfg.Filters, Registry: p.registry, Metrics: cfg.Metrics, SessionKey: cfg.SessionKey, Sessions: &upstream.Sessions{}}
	p.maxOut = maxBuffers(cfg.Limits.BufferBytes) / int64(len(p.shards))
	empty, _, err := p.compiler.Compile(model.Freeze(model.Parts{}), nil)
	if err != nil {
		return nil, err
	}
	empty.Number = 0
	p.live.Store(&live{gen: empty})
	return p, nil
}

// ownAddress is the address that a listener asks for itself.
func ownAddress(l model.Listener) string {
	return cmp.Or(l.Address, fmt.Sprintf(":%d", l.ID.Port))
}

// maxBuffers is how many bytes of buffers may be out in all.
func maxBuffers(limit int64) int64 {
	if limit <= 0 {
		limit = debug.SetMemoryLimit(-1) / 2
	}
	return max(limit, 64*sock.BufferSize)
}

// Generation is the one that serves now.
func (p *Proxy) Generation() *exchange.Generation { return p.live.Load().gen }

// Registry holds the live things towards backends.
func (p *Proxy) Registry() *upstream.Registry { return p.registry }

// Connections is the number of open client connections.
func (p *Proxy) Connections() int64 { return p.open.Load() }

// Addr is the address on which a listener listens, or nil.
func (p *Proxy) Addr(id model.ListenerID) net.Addr {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l := p.listeners[id]; l != nil {
		return l.net.Addr()
	}
	if l := p.udp.listeners[id]; l != nil {
		return l.conn.LocalAddr()
	}
	return nil
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
	next := &live{gen: gen}
	var more []reason.Report
	next.tls, more = p.compileTLS(s)
	reports = append(reports, more...)
	opened, moved, more := p.openListeners(s)
	reports = append(reports, more...)
	p.closeHTTP3(s)
	openedUDP, doneUDP, more := p.openUDP(s)
	reports = append(reports, more...)
	sockets, more := p.openHTTP3(s)
	reports = append(reports, more...)
	next.public = p.publicPorts(s)
	p.reports = reports
	p.live.Store(next)
	for _, l := range opened {
		p.serving.Go(l.accept)
	}
	p.startHTTP3(sockets)
	p.closeListeners(s, moved)
	p.forgetAllBut(gen)
	p.tunnels.reconsider(gen)
	p.conduits.each(func(c *conduit) { c.reconsider(gen) })
	p.swapUDP(gen, openedUDP, doneUDP)
	p.readmit(next.tls)
	p.cfg.Metrics.SetState(func(state *observe.State) {
		state.Generation, state.Hash, state.Since = gen.Number, s.Root.String(), time.Now()
		state.Routes, state.Services = gen.Routes, len(gen.Clusters)
	})
	return reports, nil
}

// serves tells whether s is what gen serves already, on listeners that are all
// open.
func (p *Proxy) serves(gen *exchange.Generation, s *model.Snapshot) bool {
	for _, l := range s.Config.Listeners {
		if !p.listens(l) || p.lacksHTTP3(s, l) {
			return false
		}
	}
	return gen.Number > 0 && gen.Snapshot.Root == s.Root && maps.Equal(gen.Snapshot.Origins, s.Origins)
}

func (p *Proxy) forgetAllBut(gen *exchange.Generation) {
	endpoints, services, rules := gen.Names()
	hosts := gen.HostNames()
	p.registry.RetainNames(func(host string) bool { return hosts[host] })
	p.registry.Retain(func(k upstream.Key) bool { return endpoints[k] }, func(id string) bool { return services[id] })
	p.cfg.Metrics.Retain(func(id string) bool { return rules[id] }, func(id string) bool { return services[id] })
}

// namesChanged lets go of the endpoints that host names led to and lead to no
// more.
func (p *Proxy) namesChanged() {
	p.mu.Lock()
	defer p.mu.Unlock()
	endpoints, services, _ := p.live.Load().gen.Names()
	p.registry.Retain(func(k upstream.Key) bool { return endpoints[k] }, func(id string) bool { return services[id] })
}

// listens tells whether a listener is open where it should be.
func (p *Proxy) listens(want model.Listener) bool {
	if l := p.udp.listeners[want.ID]; l != nil {
		return l.address == p.cfg.Address(want)
	}
	l := p.listeners[want.ID]
	return l != nil && l.address == p.cfg.Address(want)
}

// openListeners opens what s asks for and is not open. Those that are now
// elsewhere have moved: the sockets that they had are to be closed.
func (p *Proxy) openListeners(s *model.Snapshot) (opened, moved []*listener, reports []reason.Report) {
	for _, want := range s.Config.Listeners {
		if want.ID.UDP || p.listens(want) {
			continue
		}
		address := p.cfg.Address(want)
		nl, err := p.cfg.Listen(address)
		if err != nil {
			reports = append(reports, listenFailed(want, address, err))
			continue
		}
		if old := p.listeners[want.ID]; old != nil {
			moved = append(moved, old)
		}
		l := newListener(p, want, nl)
		p.listeners[want.ID] = l
		opened = append(opened, l)
	}
	return opened, moved, reports
}

func listenFailed(want model.Listener, address string, err error) reason.Report {
	fix := fmt.Sprintf("free it, or publish it elsewhere: --publish %d=ADDR:PORT", want.ID.Port)
	if want.ID.Gateway != "" {
		fix = "free it, or give Gateway " + want.ID.Gateway + " another address"
	}
	return reason.New(reason.ListenFailed, reason.Origin{},
		fmt.Sprintf("port %s cannot be opened at %s: %v", want.ID, address, err)).WithFix(fix)
}

func (p *Proxy) closeListeners(s *model.Snapshot, moved []*listener) {
	for _, l := range moved {
		l.close(false)
	}
	wanted := map[model.ListenerID]bool{}
	for _, l := range s.Config.Listeners {
		wanted[l.ID] = true
	}
	for id, l := range p.listeners {
		if !wanted[id] {
			delete(p.listeners, id)
			l.close(false)
		}
	}
}

// ErrSucceeded, as the cause for which the context of Run ends, says that
// another process holds the listening sockets too and goes on accepting.
var ErrSucceeded = errors.New("a successor has taken over")

// Run serves until ctx ends, then drains: it keeps accepting for DrainGrace
// while it asks clients to leave, stops accepting, lets exchanges end for
// DrainWait, and closes what is left. It returns the number of connections
// that it had to cut.
func (p *Proxy) Run(ctx context.Context) (cut int, err error) {
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var helpers sync.WaitGroup
	for _, run := range []func(context.Context) error{p.hangups.Run, p.registry.Run, p.tickets.run} {
		helpers.Go(func() { run(inner) })
	}
	<-ctx.Done()
	cut = p.drain(errors.Is(context.Cause(ctx), ErrSucceeded))
	cancel()
	helpers.Wait()
	return cut, nil
}

// Drain begins to drain without ending Run: answers ask clients to leave.
func (p *Proxy) Drain() {
	p.draining.Store(true)
	p.eachSession((*session).prepareToStop)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cfg.Metrics.SetState(func(s *observe.State) { s.Ready = false })
}

func (p *Proxy) drain(succeeded bool) (cut int) {
	p.Drain()
	time.Sleep(p.cfg.DrainGrace)
	p.mu.Lock()
	p.closed = true
	for _, l := range p.listeners {
		l.close(succeeded)
	}
	for _, l := range p.udp.listeners {
		l.leave(succeeded)
	}
	p.mu.Unlock()
	defer p.mirrors.stop()
	p.stopping.Store(true)
	p.eachSession((*session).stop)
	p.tunnels.each((*tunnel).leave)
	close(p.stopped)
	done := make(chan struct{})
	go func() { p.serving.Wait(); close(done) }()
	select {
	case <-done:
		return 0
	case <-time.After(p.cfg.DrainWait):
	}
	cut = p.cutUDP()
	p.eachSession(func(*session) { cut++ }) // before the first is gone
	p.conduits.each(func(c *conduit) { c.end(reason.Drained) })
	p.tunnels.each(func(t *tunnel) { t.close(reason.Drained) })
	p.eachSession((*session).abort)
	select {
	case <-done:
	case <-time.After(cutWait): // whatever hangs must not keep the process
	}
	return cut
}

// cutWait is how long what was cut may take to end.
const cutWait = 5 * time.Second

func (p *Proxy) eachSession(do func(*session)) {
	for _, sh := range p.shards {
		sh.mu.Lock()
		all := make([]*session, 0, len(sh.sessions))
		for s := range sh.sessions {
			all = append(all, s)
		}
		sh.mu.Unlock()
		for _, s := range all {
			do(s)
		}
	}
}

// overloaded tells whether a shard's exchanges hold more than their part of
// the memory for buffers.
func (p *Proxy) overloaded(sh *shard) bool { return sh.pool.Out() > p.maxOut }

func (p *Proxy) trusts(addr netip.Addr) bool { return contains(p.cfg.Trusted, addr) }

func contains(prefixes []netip.Prefix, addr netip.Addr) bool {
	addr = addr.Unmap()
	for _, prefix := range prefixes {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// publicPorts finds what clients dial to reach the listeners of a snapshot.
func (p *Proxy) publicPorts(s *model.Snapshot) map[model.ListenerID]uint16 {
	out := make(map[model.ListenerID]uint16, len(s.Config.Listeners))
	for _, want := range s.Config.Listeners {
		out[want.ID] = p.addressPort(want)
		if l := p.listeners[want.ID]; l != nil {
			out[want.ID] = l.public
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
