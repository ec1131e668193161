package proxy

import "windrose.dev/windrose/internal/proxy/exchange"

// admitHTTP3 serves a connection, unless a limit turns it away.
func (l *listener) admitHTTP3(conn HTTP3Conn) bool {
	p, addr := l.proxy, conn.Client()
	terms := conn.Terms().tls
	if p.live.Load().tls[l.id] == nil {
		return false // it has just stopped speaking TLS
	}
	sh, trusted := p.nextShard(), p.trusts(addr.Addr())
	if !p.takePlace(addr.Addr(), trusted) {
		l.stats.Refused.Add(sh.index, 1)
		return false
	}
	l.stats.Accepted.Add(sh.index, 1)
	l.stats.Handshakes.Add(sh.index, 1)
	state := conn.TLS()
	if state.DidResume {
		l.stats.Resumed.Add(sh.index, 1)
	}
	s := &session{
		proxy: p, shard: sh, listener: l, quic: conn, counted: !trusted, dialled: conn.Dialled(),
		peer: exchange.Peer{
			Addr: addr, Listener: l.id, PublicPort: l.public, Trusted: trusted,
			PublicPorts: l.siblings, Trusts: p.trusts,
		},
	}
	s.identify(terms, state)
	s.peer.Prepare()
	sh.add(s)
	if !s.settle(terms) {
		s.forget()
		return false
	}
	p.serving.Go(s.serveQUIC)
	return true
}

// serveQUIC serves a connection of HTTP/3 to its end.
func (s *session) serveQUIC() {
	defer s.forget()
	defer s.quic.Abort()
	defer func() {
		if broken := recover(); broken != nil {
			s.proxy.panicked(broken)
		}
	}()
	s.prepareToStop()
	if s.proxy.stopping.Load() || s.listener.http3.Load() == nil {
		s.quic.Leave(true) // the drain may have passed by before
	}
	start := s.proxy.clock.Now()
	if broken := s.quic.Run(s, &s.shard.pool); broken != nil {
		s.logBroken(start, broken.Outcome, broken.Text)
	}
}

// Defect says that a panic was contained.
func (s *session) Defect(broken any) { s.proxy.panicked(broken) }
