package proxy

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/observe"
	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/proxy/sock"
	"windrose.dev/windrose/internal/reason"
)

// udpListener is a port of UDP. One goroutine reads it; each flow has another
// that reads what its endpoint answers.
type udpListener struct {
	proxy   *Proxy
	id      model.ListenerID
	address string // as it was asked for
	public  uint16
	conn    *sock.Port
	stats   *observe.Listener

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

// udp is what the UDP listeners of a proxy share.
type udp struct {
	listeners map[model.ListenerID]*udpListener // guarded by Proxy.mu
	flows     atomic.Int64
	clients   clientCounts
	buffers   sync.Pool
}

func (u *udp) buffer() []byte {
	if b, ok := u.buffers.Get().(*[sock.MaxDatagram]byte); ok {
		return b[:]
	}
	return new([sock.MaxDatagram]byte)[:]
}

func (u *udp) release(b []byte) { u.buffers.Put((*[sock.MaxDatagram]byte)(b)) }

func newUDPListener(p *Proxy, want model.Listener, conn *net.UDPConn) *udpListener {
	return &udpListener{
		proxy: p, id: want.ID, address: p.cfg.Address(want), conn: sock.NewPort(conn),
		public: addrPort(conn.LocalAddr()).Port(), stats: p.cfg.Metrics.Listener(want.ID),
		flows: map[udpPeers]*udpFlow{}, open: map[*udpFlow]struct{}{},
	}
}

func listenUDP(address string) (*net.UDPConn, error) {
	addr, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return nil, err
	}
	return net.ListenUDP("udp", addr)
}

// serve reads what clients send until the socket is closed.
func (l *udpListener) serve() {
	buf := l.proxy.udp.buffer()
	defer l.proxy.udp.release(buf)
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

func (l *udpListener) isLeaving() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.leaving
}

// take passes a datagram on. A panic loses this one only.
func (l *udpListener) take(peers udpPeers, datagram []byte) {
	defer func() {
		if broken := recover(); broken != nil {
			l.proxy.panicked(broken)
		}
	}()
	f := l.flow(peers)
	if f == nil || !f.send(datagram) {
		l.stats.Dropped.Add(0, 1)
	}
}

// flow finds the flow of a client, or begins one; nil drops the datagram.
func (l *udpListener) flow(peers udpPeers) *udpFlow {
	l.mu.Lock()
	f, leaving := l.flows[peers], l.leaving
	if f != nil && f.endpoint.Retired() {
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

// choose finds the rule for a new flow and an endpoint, or counts why there is
// none.
func (l *udpListener) choose() (*exchange.Relay, *exchange.Endpoint) {
	gen := l.proxy.live.Load().gen
	relays := gen.Relays(l.id)
	if relays == nil {
		return nil, nil // the listener has just gone
	}
	relay, _ := relays.Match("")
	if relay == nil {
		l.proxy.cfg.Metrics.Unrouted().Relay(0, reason.NoRoute)
		return nil, nil
	}
	cluster, respond := relay.Draw(gen)
	if respond != nil {
		relay.Stats.Relay(0, respond.Outcome)
		return nil, nil
	}
	e := cluster.Pick(nil)
	if e == nil {
		relay.Stats.Relay(0, reason.NoEndpoint)
	}
	return relay, e
}

// begin makes a flow, if there is a rule, an endpoint and room for it. Only
// serve calls it.
func (l *udpListener) begin(peers udpPeers) *udpFlow {
	relay, e := l.choose()
	if e == nil {
		return nil
	}
	if !l.takePlace(peers.client) {
		l.stats.Refused.Add(0, 1)
		relay.Stats.Relay(0, reason.Overloaded)
		return nil
	}
	f, err := newUDPFlow(l, peers, relay, *e)
	if err != nil {
		l.givePlace(peers.client)
		relay.Stats.Relay(0, reason.ConnectFailed)
		return nil
	}
	if !l.add(f) {
		f.up.Close()
		l.givePlace(peers.client)
		return nil
	}
	l.stats.Accepted.Add(f.shard, 1)
	l.proxy.serving.Go(f.run)
	return f
}

// add has a flow be one of the listener's, unless that has begun to leave in the
// meantime: what ends its flows has passed by then.
func (l *udpListener) add(f *udpFlow) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.leaving {
		return false
	}
	l.flows[f.peers] = f
	l.open[f] = struct{}{}
	return true
}

func (l *udpListener) takePlace(client netip.AddrPort) bool {
	p, limit := l.proxy, int64(l.proxy.cfg.Limits.UDPFlows)
	if n := p.udp.flows.Add(1); limit > 0 && n > limit {
		p.udp.flows.Add(-1)
		return false
	}
	addr := client.Addr().Unmap()
	if !p.trusts(addr) && !p.udp.clients.add(addr, p.cfg.Limits.UDPFlowsPerClient) {
		p.udp.flows.Add(-1)
		return false
	}
	return true
}

func (l *udpListener) givePlace(client netip.AddrPort) {
	addr := client.Addr().Unmap()
	l.proxy.udp.flows.Add(-1)
	if !l.proxy.trusts(addr) {
		l.proxy.udp.clients.remove(addr)
	}
}

// remove forgets a flow that has ended.
func (l *udpListener) remove(f *udpFlow) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.flows[f.peers] == f {
		delete(l.flows, f.peers)
	}
	if delete(l.open, f); l.leaving && len(l.open) == 0 {
		l.conn.Close()
	}
}

// leave has the listener end with its last flow, of which those end soon that
// are silent. succeeded: another process holds the socket and reads what comes
// from now on.
func (l *udpListener) leave(succeeded bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leaving = true
	for f := range l.open {
		f.hurry()
	}
	switch {
	case len(l.open) == 0:
		l.conn.Close()
	case succeeded:
		l.conn.SetReadDeadline(time.Unix(1, 0))
	}
}

// close ends the listener with all its flows: their replies can come from
// nowhere else.
func (l *udpListener) close(why reason.Outcome) (ended int) {
	l.mu.Lock()
	l.leaving = true
	for f := range l.open {
		f.end(why)
		ended++
	}
	l.mu.Unlock()
	l.conn.Close()
	return ended
}

// reconsider ends the flows whose rule is closed now. Whatever else has
// changed, they go on.
func (l *udpListener) reconsider(gen *exchange.Generation) {
	if !gen.Relays(l.id).Closed("") {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for f := range l.open {
		f.end(reason.Closed)
	}
}

// openUDP opens the UDP listeners that s asks for and that are not open. Those
// that are now elsewhere, or no longer wanted, are returned, to be closed.
func (p *Proxy) openUDP(s *model.Snapshot) (opened, done []*udpListener, reports []reason.Report) {
	wanted := map[model.ListenerID]bool{}
	for _, want := range s.Config.Listeners {
		if wanted[want.ID] = true; !want.ID.UDP || p.listens(want) {
			continue
		}
		address := p.cfg.Address(want)
		conn, err := p.cfg.ListenUDP(address)
		if err != nil {
			reports = append(reports, listenFailed(want, fmt.Sprintf("UDP %s", address), err))
			continue
		}
		if old := p.udp.listeners[want.ID]; old != nil {
			done = append(done, old)
		}
		l := newUDPListener(p, want, conn)
		p.udp.listeners[want.ID] = l
		opened = append(opened, l)
	}
	for id, l := range p.udp.listeners {
		if !wanted[id] {
			delete(p.udp.listeners, id)
			done = append(done, l)
		}
	}
	return opened, done, reports
}

// swapUDP has the listeners of UDP follow gen, which is live.
func (p *Proxy) swapUDP(gen *exchange.Generation, opened, done []*udpListener) {
	for _, l := range opened {
		p.serving.Go(l.serve)
	}
	for _, l := range done {
		l.close(reason.Drained)
	}
	for _, l := range p.udp.listeners {
		l.reconsider(gen)
	}
}

// cutUDP ends all flows that a drain has left, and tells how many there were.
func (p *Proxy) cutUDP() (cut int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.udp.listeners {
		cut += l.close(reason.Drained)
	}
	return cut
}
