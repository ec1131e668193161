package frontend

import "windrose.dev/windrose/internal/proxy/httpx"

// admitHTTP3 serves a connection, unless a limit turns it away.
func (l *Listener) admitHTTP3(quic HTTP3Conn) bool {
	s, addr := l.server, quic.Client()
	t := quic.ListenerTLS()
	if l.tls() == nil {
		return false // it has just stopped speaking TLS
	}
	shard, trusted := s.Engine.NextShard(), s.Trusts(addr.Addr())
	if !s.takePlace(addr.Addr(), !trusted) {
		l.Stats.Refused.Add(shard.Index, 1)
		return false
	}
	l.Stats.Accepted.Add(shard.Index, 1)
	l.Stats.Handshakes.Add(shard.Index, 1)
	state := quic.TLS()
	if state.DidResume {
		l.Stats.Resumed.Add(shard.Index, 1)
	}
	c := &conn{
		Connection: httpx.Connection{Shard: shard, Peer: l.peer(), AltSvc: l.altSvc},
		server:     s, listener: l, quic: quic, counted: !trusted, facts: l.facts(addr, quic.Dialled()),
	}
	c.facts.Handshake = t.shown(state)
	c.learn()
	c.Peer.Prepare()
	s.add(c)
	if !c.admit() {
		c.forget()
		return false
	}
	s.Engine.Go(streams{c}.serveHTTP3)
	return true
}

// serveHTTP3 serves a connection of HTTP/3 to its end.
func (c streams) serveHTTP3() {
	e := c.server.Engine
	defer c.forget()
	defer c.quic.Abort()
	defer func() {
		if broken := recover(); broken != nil {
			e.Panicked(broken)
		}
	}()
	c.prepareToStop()
	if e.Stopping() || c.listener.quic.Load() == nil {
		c.quic.Leave(true) // the drain may have passed by before
	}
	start := e.Clock.Now()
	if broken := c.quic.Run(c, &c.Shard.Pool); broken != nil {
		c.recordBroken(start, broken.Outcome, broken.Text)
	}
}

// ServeHTTP3 serves one request of HTTP/3.
func (c streams) ServeHTTP3(stream httpx.HTTP3Stream) {
	c.server.HTTP.ServeHTTP3(&c.Connection, stream)
}

// Defect says that a panic was contained.
func (c streams) Defect(broken any) { c.server.Engine.Panicked(broken) }
