package frontend

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy/engine"
	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/proxy/httpx"
	"windrose.dev/windrose/internal/proxy/l4"
	"windrose.dev/windrose/internal/proxy/mux"
	"windrose.dev/windrose/internal/proxy/policy"
)

// Config is what a Server needs.
type Config struct {
	Engine *engine.Engine
	HTTP   *httpx.Server
	L4     *l4.Server
	// HTTP2 is what connections of HTTP/2 need, by shard.
	HTTP2 []*mux.Config
	// HTTP3 serves HTTP/3 beside each HTTPS listener; nil does not.
	HTTP3 HTTP3
	// Generation and Compiled are what serves now.
	Generation func() *exchange.Generation
	Compiled   func() *Compiled
	// Trusted are the peers that are believed when they say who their client is, and
	// ProxyProtocolFrom those that say so in a PROXY header, with which each of their
	// TCP connections must begin.
	Trusted, ProxyProtocolFrom []netip.Prefix
	// AddressPort is the port of the address for a listener.
	AddressPort func(model.Listener) uint16
	// HandedOver reports whether another process may hold the listening sockets, too;
	// nil is that none does.
	HandedOver func() bool
	// LeaveWait is how long connections may take to end that are to leave.
	LeaveWait time.Duration
}

// Compiled is what one Generation has for the listeners.
type Compiled struct {
	// TLS has those that speak it, in full or in part.
	TLS map[model.ListenerID]*ListenerTLS
	// Policies say who is let in.
	Policies map[model.ListenerID]*policy.Listener
	// Public is what clients dial to reach a listener.
	Public map[model.ListenerID]uint16
}

// Compile puts together what one Generation has for the listeners of its snapshot.
func Compile(gen *exchange.Generation, tls map[model.ListenerID]*ListenerTLS, public map[model.ListenerID]uint16) Compiled {
	out := Compiled{TLS: tls, Public: public, Policies: map[model.ListenerID]*policy.Listener{}}
	for i := range gen.Snapshot.Config.Listeners {
		id := gen.Snapshot.Config.Listeners[i].ID
		one := &policy.Listener{Access: gen.Access(id)}
		if t := tls[id]; t != nil {
			one.TLS, one.Asked = true, t.clients
		}
		out.Policies[id] = one
	}
	return out
}

// Server serves the connections of one proxy. Its methods may be called from any
// goroutine.
type Server struct {
	Config
	clients engine.Clients
	open    atomic.Int64
	shards  []connections
}

// connections are those of a shard.
type connections struct {
	mu  sync.Mutex
	all map[*conn]struct{}
}

// New makes a Server.
func New(cfg Config) *Server {
	s := &Server{Config: cfg, shards: make([]connections, len(cfg.Engine.Shards))}
	for i := range s.shards {
		s.shards[i].all = map[*conn]struct{}{}
	}
	return s
}

// Open is the number of connections that are open.
func (s *Server) Open() int64 { return s.open.Load() }

// Drain asks clients to open other connections elsewhere.
func (s *Server) Drain() { s.each((*conn).prepareToStop) }

// Stop closes the connections that wait for a request.
func (s *Server) Stop() { s.each((*conn).stop) }

// Count is the number of connections, also of those that are about to end.
func (s *Server) Count() (n int) {
	s.each(func(*conn) { n++ })
	return n
}

// Cut ends all connections at once.
func (s *Server) Cut() { s.each((*conn).abort) }

func (s *Server) each(do func(*conn)) {
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		all := make([]*conn, 0, len(sh.all))
		for c := range sh.all {
			all = append(all, c)
		}
		sh.mu.Unlock()
		for _, c := range all {
			do(c)
		}
	}
}

func (s *Server) add(c *conn) {
	sh := &s.shards[c.Shard.Index]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.all[c] = struct{}{}
}

func (s *Server) remove(c *conn) {
	sh := &s.shards[c.Shard.Index]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	delete(sh.all, c)
}

// Trusts reports whether a peer is believed when it says who its client is.
func (s *Server) Trusts(addr netip.Addr) bool { return contains(s.Trusted, addr) }

func contains(prefixes []netip.Prefix, addr netip.Addr) bool {
	addr = addr.Unmap()
	for _, prefix := range prefixes {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// hasRoom reports whether there is room for another connection.
func (s *Server) hasRoom() bool {
	limit := int64(s.Engine.Limits.Connections)
	return limit <= 0 || s.open.Load() < limit
}

// takePlace counts a connection, also for its client's address if that counts. It
// reports whether the limits allow for it.
func (s *Server) takePlace(addr netip.Addr, counts bool) bool {
	limits := &s.Engine.Limits
	if n := s.open.Add(1); limits.Connections > 0 && n > int64(limits.Connections) {
		s.open.Add(-1)
		return false
	}
	if counts && !s.clients.Add(addr, limits.ConnectionsPerClient) {
		s.open.Add(-1)
		return false
	}
	return true
}

func (s *Server) givePlace(addr netip.Addr, counted bool) {
	s.open.Add(-1)
	if counted {
		s.clients.Remove(addr)
	}
}
