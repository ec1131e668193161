package frontend

import (
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/observe"
	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/proxy/policy"
	"windrose.dev/windrose/internal/proxy/sock"
)

// Listener accepts the connections of one port of TCP.
type Listener struct {
	ID model.ListenerID
	// Public is the port that clients dial.
	Public uint16
	Stats  *observe.Listener

	server *Server
	net    net.Listener
	ending atomic.Bool
	held   sock.Held     // set before ending
	ended  chan struct{} // closed when the socket is

	quic     atomic.Pointer[QUIC]     // nil while HTTP/3 is not open
	siblings func(port uint16) uint16 // publicPort, made once
	altSvc   func() []byte            // made once
}

// Listen serves a socket as a listener, once Serve is called.
func (s *Server) Listen(want model.Listener, nl net.Listener) *Listener {
	l := &Listener{
		ID: want.ID, Public: s.AddressPort(want), Stats: s.Engine.Sink.Metrics.Listener(want.ID),
		server: s, net: nl, ended: make(chan struct{}),
	}
	if addr, ok := nl.Addr().(*net.TCPAddr); ok {
		l.Public = uint16(addr.Port)
	}
	l.siblings, l.altSvc = l.publicPort, l.offer
	return l
}

// Addr is where the listener listens.
func (l *Listener) Addr() net.Addr { return l.net.Addr() }

// publicPort is what clients dial to reach the listener for a port of the same
// Gateway.
func (l *Listener) publicPort(port uint16) uint16 {
	id := model.ListenerID{Gateway: l.ID.Gateway, Port: port}
	if public, listens := l.server.Compiled().Public[id]; listens {
		return public
	}
	return l.server.AddressPort(model.Listener{ID: id})
}

// tls is the listener's TLS as it is now; nil is none.
func (l *Listener) tls() *ListenerTLS { return l.server.Compiled().TLS[l.ID] }

// policy is what the listener asks of its clients now.
func (l *Listener) policy() *policy.Listener { return l.server.Compiled().Policies[l.ID] }

// Serve accepts connections until the listener is closed. When the system
// cannot give more (too many open files), it waits and tries again.
func (l *Listener) Serve() {
	defer close(l.ended)
	pause := time.Duration(0)
	for {
		nc, err := l.net.Accept()
		switch {
		case err == nil:
			pause = 0
			l.admit(nc)
		case l.ending.Load():
			for _, nc := range sock.CloseListener(l.net, l.held) {
				l.admit(nc)
			}
			return
		case errors.Is(err, net.ErrClosed):
			return
		default:
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			time.Sleep(pause)
		}
	}
}

// Close ends Serve, which then serves what the system has connected already, and
// waits until the port is free.
func (l *Listener) Close() { l.Leave(false) }

// Leave is Close, but that the port is not free where another process holds the
// socket too.
func (l *Listener) Leave(shared bool) {
	switch {
	case shared:
		l.held = sock.ByOthers
	case l.server.HandedOver != nil && l.server.HandedOver():
		l.held = sock.ByPerhapsOthers
	}
	l.ending.Store(true)
	if q := l.quic.Load(); q != nil {
		q.Close()
	}
	if tcp, ok := l.net.(*net.TCPListener); !ok || tcp.SetDeadline(time.Unix(1, 0)) != nil {
		l.net.Close()
	}
	<-l.ended
}

// admit serves a connection, unless a limit turns it away.
func (l *Listener) admit(nc net.Conn) {
	s := l.server
	shard := s.Engine.NextShard()
	addr := sock.AddrPort(nc.RemoteAddr())
	trusted, proxied := s.Trusts(addr.Addr()), contains(s.ProxyProtocolFrom, addr.Addr())
	if !s.takePlace(addr.Addr(), !trusted && !proxied) {
		l.Stats.Refused.Add(shard.Index, 1)
		nc.Close()
		return
	}
	l.Stats.Accepted.Add(shard.Index, 1)
	c := &conn{server: s, listener: l, tcp: nc, proxied: proxied, counted: !trusted && !proxied}
	c.Shard, c.Peer, c.AltSvc, c.OffersHTTP3 = shard, l.peer(), l.altSvc, !proxied
	c.facts = l.facts(addr, sock.AddrPort(nc.LocalAddr()))
	c.learn()
	c.sock = sock.NewConn(nc, s.Engine.Clock, &shard.Pool, s.Engine.Hangups)
	s.add(c)
	s.Engine.Go(c.serve)
}

// facts are what is known of a client by its address.
func (l *Listener) facts(remote, local netip.AddrPort) *policy.Facts {
	return &policy.Facts{Listener: l.ID, PublicPort: l.Public, Remote: remote, Local: local}
}

// peer is what all clients of the listener have in common.
func (l *Listener) peer() exchange.Peer {
	return exchange.Peer{PublicPorts: l.siblings, Trusts: l.server.Trusts}
}
