package l4

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/observe"
	"windrose.dev/windrose/internal/proxy/engine"
	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/proxy/policy"
	"windrose.dev/windrose/internal/proxy/sock"
	"windrose.dev/windrose/internal/proxy/upstream"
	"windrose.dev/windrose/internal/reason"
)

// UDPListener is a port of UDP. One goroutine reads it; each flow has another
// that reads what its endpoint answers.
type UDPListener struct {
	server *Server
	id     model.ListenerID
	public uint16
	conn   *sock.Port
	stats  *observe.Listener

	mu    sync.Mutex
	flows map[udpPeers]*udpFlow // those that datagrams of clients go to
	open  map[*udpFlow]struct{} // all that have not ended
	// leaving: there are no new flows, and the socket closes with the last one.
	leaving bool
}

// udpPeers tell flows apart: the client, and the address that it has sent to,
// where that is not always the same.
type udpPeers struct {
	client netip.AddrPort
	local  netip.Addr
}

// flows are those of all UDP listeners of a Server.
type flows struct {
	open    atomic.Int64
	clients engine.Clients
	buffers sync.Pool
}

func (f *flows) buffer() []byte {
	if b, ok := f.buffers.Get().(*[sock.MaxDatagram]byte); ok {
		return b[:]
	}
	return new([sock.MaxDatagram]byte)[:]
}

func (f *flows) release(b []byte) { f.buffers.Put((*[sock.MaxDatagram]byte)(b)) }

// ListenUDP serves a socket as the listener of that id, once Serve is called.
func (s *Server) ListenUDP(id model.ListenerID, conn *net.UDPConn) *UDPListener {
	return &UDPListener{
		server: s, id: id, conn: sock.NewPort(conn), public: sock.AddrPort(conn.LocalAddr()).Port(),
		stats: s.Engine.Sink.Metrics.Listener(id), flows: map[udpPeers]*udpFlow{}, open: map[*udpFlow]struct{}{},
	}
}

// Addr is where the listener listens.
func (l *UDPListener) Addr() net.Addr { return l.conn.LocalAddr() }

// Serve reads what clients send until the socket is closed.
func (l *UDPListener) Serve() {
	buf := l.server.flows.buffer()
	defer l.server.flows.release(buf)
	for {
		n, client, local, err := l.conn.Receive(buf)
		switch {
		case err == nil:
			l.take(udpPeers{client, local}, buf[:n])
		case errors.Is(err, net.ErrClosed), l.isLeaving():
			return
		default: // such as an ICMP error that some reply has caused
			time.Sleep(time.Millisecond)
		}
	}
}

func (l *UDPListener) isLeaving() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.leaving
}

// take passes a datagram on. A panic loses this one only.
func (l *UDPListener) take(peers udpPeers, datagram []byte) {
	defer func() {
		if broken := recover(); broken != nil {
			l.server.Engine.Panicked(broken)
		}
	}()
	f := l.flow(peers)
	if f == nil || !f.send(datagram) {
		l.stats.Dropped.Add(0, 1)
	}
}

// flow finds the flow of a client, or begins one; nil drops the datagram.
func (l *UDPListener) flow(peers udpPeers) *udpFlow {
	l.mu.Lock()
	f, leaving := l.flows[peers], l.leaving
	if f != nil && f.lease.Endpoint.Retired() {
		// Its endpoint is gone from the configuration. What it still answers goes
		// to the client; what the client sends goes elsewhere.
		delete(l.flows, peers)
		f = nil
	}
	l.mu.Unlock()
	if f != nil || leaving {
		return f
	}
	return l.begin(peers)
}

// choose finds the route for a new flow and reserves an endpoint, or counts why there
// is none.
func (l *UDPListener) choose(peers udpPeers) (route *exchange.L4Route, lease upstream.Lease, ok bool) {
	gen := l.server.Generation()
	routes := gen.L4Routes(l.id)
	if routes == nil {
		return nil, lease, false // the listener has just gone
	}
	if route, _ = routes.Match(""); route == nil {
		l.server.Engine.Sink.Metrics.Unrouted().L4Flow(0, reason.NoRoute)
		return nil, lease, false
	}
	in := l.inbound(peers)
	if v := gen.MayOpen(&in); v.Outcome == reason.Denied {
		route.Stats.L4Flow(0, v.Outcome)
		return nil, lease, false
	}
	cluster, respond := route.Draw()
	if respond != nil {
		route.Stats.L4Flow(0, respond.Outcome)
		return nil, lease, false
	}
	lease, err := cluster.Reserve(upstream.Pick{})
	if err != nil {
		route.Stats.L4Flow(0, reason.NoEndpoint)
	}
	return route, lease, err == nil
}

// begin makes a flow, if there is a route, an endpoint and room for it. Only
// Serve calls it.
func (l *UDPListener) begin(peers udpPeers) *udpFlow {
	route, lease, ok := l.choose(peers)
	if !ok {
		return nil
	}
	if !l.takePlace(peers.client) {
		lease.Done(upstream.Result{})
		l.stats.Refused.Add(0, 1)
		route.Stats.L4Flow(0, reason.Overloaded)
		return nil
	}
	f, err := newUDPFlow(l, peers, route, lease)
	if err != nil {
		lease.Done(upstream.Result{Outcome: reason.ConnectFailed})
		l.givePlace(peers.client)
		route.Stats.L4Flow(0, reason.ConnectFailed)
		return nil
	}
	if !l.add(f) {
		lease.Done(upstream.Result{})
		f.up.Close()
		l.givePlace(peers.client)
		return nil
	}
	l.stats.Accepted.Add(f.shard, 1)
	l.server.Engine.Go(f.run)
	return f
}

// add has a flow be one of the listener's, unless that has begun to leave in the
// meantime: what ends its flows has passed by then.
func (l *UDPListener) add(f *udpFlow) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.leaving {
		return false
	}
	l.flows[f.peers] = f
	l.open[f] = struct{}{}
	return true
}

func (l *UDPListener) takePlace(client netip.AddrPort) bool {
	s, limits := l.server, &l.server.Engine.Limits
	if n := s.flows.open.Add(1); limits.UDPFlows > 0 && n > int64(limits.UDPFlows) {
		s.flows.open.Add(-1)
		return false
	}
	addr := client.Addr().Unmap()
	if !s.Trusts(addr) && !s.flows.clients.Add(addr, limits.UDPFlowsPerClient) {
		s.flows.open.Add(-1)
		return false
	}
	return true
}

func (l *UDPListener) givePlace(client netip.AddrPort) {
	addr := client.Addr().Unmap()
	l.server.flows.open.Add(-1)
	if !l.server.Trusts(addr) {
		l.server.flows.clients.Remove(addr)
	}
}

// remove forgets a flow that has ended.
func (l *UDPListener) remove(f *udpFlow) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.flows[f.peers] == f {
		delete(l.flows, f.peers)
	}
	if delete(l.open, f); l.leaving && len(l.open) == 0 {
		l.conn.Close()
	}
}

// Leave has the listener end with its last flow, of which those end soon that are
// silent. shared tells that another process holds the socket, and reads what comes
// from now on.
func (l *UDPListener) Leave(shared bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leaving = true
	for f := range l.open {
		f.hurry()
	}
	switch {
	case len(l.open) == 0:
		l.conn.Close()
	case shared:
		l.conn.SetReadDeadline(time.Unix(1, 0))
	}
}

// Close ends the listener with all its flows: their replies can come from nowhere
// else.
func (l *UDPListener) Close() { l.Cut() }

// Cut is Close, and returns how many flows it has ended.
func (l *UDPListener) Cut() (ended int) {
	l.mu.Lock()
	l.leaving = true
	for f := range l.open {
		f.end(reason.Drained)
		ended++
	}
	l.mu.Unlock()
	l.conn.Close()
	return ended
}

// Reconsider ends the flows that gen, which is live, would not open. Whatever else has
// changed, they go on.
func (l *UDPListener) Reconsider(gen *exchange.Generation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for f := range l.open {
		f.reconsider(gen)
	}
}

// inbound is what is known of a client.
func (l *UDPListener) inbound(peers udpPeers) policy.Inbound {
	return policy.Inbound{
		Listener: l.id, Remote: peers.client, Addr: peers.client, PublicPort: l.public,
		Dialled: netip.AddrPortFrom(peers.local, l.public), Trusted: l.server.Trusts(peers.client.Addr()),
	}
}
