package proxy

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/observe"
	"windrose.dev/windrose/internal/proxy/mux"
	"windrose.dev/windrose/internal/proxy/sock"
)

// listener accepts the connections of one port.
type listener struct {
	proxy   *Proxy
	id      model.ListenerID
	address string // as it was asked for
	public  uint16
	net     net.Listener
	stats   *observe.Listener
	ending  atomic.Bool
	shared  bool          // with another process; set before ending
	ended   chan struct{} // closed when the socket is

	http3    atomic.Pointer[openHTTP3] // nil while it is not open
	siblings func(port uint16) uint16  // publicPort, made once
}

func newListener(p *Proxy, want model.Listener, nl net.Listener) *listener {
	l := &listener{
		proxy: p, id: want.ID, address: p.cfg.Address(want), public: p.addressPort(want), net: nl,
		stats: p.cfg.Metrics.Listener(want.ID), ended: make(chan struct{}),
	}
	if addr, ok := nl.Addr().(*net.TCPAddr); ok {
		l.public = uint16(addr.Port)
	}
	l.siblings = l.publicPort
	return l
}

// publicPort is what clients dial to reach the listener for a port of the same
// Gateway.
func (l *listener) publicPort(port uint16) uint16 {
	id := model.ListenerID{Gateway: l.id.Gateway, Port: port}
	if public, listens := l.proxy.live.Load().public[id]; listens {
		return public
	}
	return l.proxy.addressPort(model.Listener{ID: id})
}

// accept serves connections until the listener is closed. When the system
// cannot give more (too many open files), it waits and tries again.
func (l *listener) accept() {
	defer close(l.ended)
	pause := time.Duration(0)
	for {
		nc, err := l.net.Accept()
		switch {
		case err == nil:
			pause = 0
			l.proxy.admit(l, nc)
		case l.ending.Load():
			l.end()
			return
		case errors.Is(err, net.ErrClosed):
			return
		default:
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			time.Sleep(pause)
		}
	}
}

// close ends accept, which then serves what the system has connected already,
// and waits until the port is free.
func (l *listener) close(shared bool) {
	l.shared = shared
	l.ending.Store(true)
	l.closeHTTP3()
	if tcp, ok := l.net.(*net.TCPListener); !ok || tcp.SetDeadline(time.Unix(1, 0)) != nil {
		l.net.Close()
	}
	<-l.ended
}

func (l *listener) end() {
	for _, nc := range sock.CloseListener(l.net, l.shared) {
		l.proxy.admit(l, nc)
	}
}

// admit serves a connection, unless a limit turns it away.
func (p *Proxy) admit(l *listener, nc net.Conn) {
	sh := p.nextShard()
	addr := addrPort(nc.RemoteAddr())
	trusted, announces := p.trusts(addr.Addr()), contains(p.cfg.ProxyProtocolFrom, addr.Addr())
	if !p.takePlace(addr.Addr(), trusted || announces) {
		l.stats.Refused.Add(sh.index, 1)
		nc.Close()
		return
	}
	l.stats.Accepted.Add(sh.index, 1)
	s := newSession(p, sh, l, nc, addr, trusted)
	s.announces, s.counted = announces, !trusted && !announces
	sh.add(s)
	p.serving.Go(s.serve)
}

// nextShard is the shard for the next connection.
func (p *Proxy) nextShard() *shard { return p.shards[p.next.Add(1)%uint64(len(p.shards))] }

func (p *Proxy) takePlace(addr netip.Addr, trusted bool) bool {
	limit := int64(p.cfg.Limits.Connections)
	if n := p.open.Add(1); limit > 0 && n > limit {
		p.open.Add(-1)
		return false
	}
	if !trusted && !p.clients.add(addr, p.cfg.Limits.ConnectionsPerClient) {
		p.open.Add(-1)
		return false
	}
	return true
}

func (p *Proxy) givePlace(addr netip.Addr, trusted bool) {
	p.open.Add(-1)
	if !trusted {
		p.clients.remove(addr)
	}
}

// addrPort reads the address of a TCP connection, or of a UDP socket; others
// have none.
func addrPort(addr net.Addr) netip.AddrPort {
	if inet, ok := addr.(interface{ AddrPort() netip.AddrPort }); ok {
		ap := inet.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return netip.AddrPort{}
}

// clientCounts counts connections by client.
type clientCounts struct {
	mu     sync.Mutex
	counts map[netip.Addr]int
}

// clientKey is the address, or the /64 that one IPv6 host can use at will.
func clientKey(addr netip.Addr) netip.Addr {
	if addr.Is6() && !addr.Is4In6() {
		if prefix, err := addr.Prefix(64); err == nil {
			return prefix.Addr()
		}
	}
	return addr
}

func (c *clientCounts) add(addr netip.Addr, limit int) bool {
	key := clientKey(addr)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts == nil {
		c.counts = map[netip.Addr]int{}
	}
	if limit > 0 && c.counts[key] >= limit {
		return false
	}
	c.counts[key]++
	return true
}

func (c *clientCounts) remove(addr netip.Addr) {
	key := clientKey(addr)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts[key]--; c.counts[key] <= 0 {
		delete(c.counts, key)
	}
}

// shard is a part of the proxy's state that connections on different cores
// need not share.
type shard struct {
	index     int
	pool      sock.Pool
	transfers sync.Pool
	http2     mux.Config // of its connections

	mu       sync.Mutex
	sessions map[*session]struct{}
}

func newShard(p *Proxy, index int) *shard {
	sh := &shard{index: index, sessions: map[*session]struct{}{}}
	sh.transfers.New = func() any { return newTransfer(p) }
	sh.http2 = p.http2Config(sh)
	return sh
}

func (sh *shard) add(s *session) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.sessions[s] = struct{}{}
}

func (sh *shard) remove(s *session) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	delete(sh.sessions, s)
}
