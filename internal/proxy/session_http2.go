package proxy

import (
	"bytes"
	"errors"
	"time"

	"windrose.dev/windrose/internal/observe"
	"windrose.dev/windrose/internal/proxy/mux"
	"windrose.dev/windrose/internal/proxy/wire/http2"
	"windrose.dev/windrose/internal/reason"
)

// pingTimeout is how long the other side of an HTTP/2 connection may take to
// give a sign of life.
const pingTimeout = 15 * time.Second

// http2Config is what the connections of a shard have in common.
func (p *Proxy) http2Config(sh *shard) mux.Config {
	l := p.cfg.Limits
	return mux.Config{
		Limits: l.Head(), MaxStreams: uint32(l.Streams), WriteTimeout: l.BodyTimeout, Header: l.HeaderTimeout, Idle: l.IdleTimeout, PingTimeout: pingTimeout,
		Discard: l.Discard,
		Growth:  &p.growth,
		Full:    func() bool { return sh.pool.Out() > 2*p.maxOut },
	}
}

// http2Configs are those of the shards.
func (p *Proxy) http2Configs() []*mux.Config {
	out := make([]*mux.Config, len(p.shards))
	for i, sh := range p.shards {
		out[i] = &sh.http2
	}
	return out
}

// startsHTTP2 tells whether the client speaks HTTP/2 without having asked for
// it (RFC 9113 §3.3). It waits for as much as tells its preface from HTTP/1;
// alive is false when that did not come.
func (s *session) startsHTTP2() (starts, alive bool) {
	if s.conn.In == nil && !s.await(true) { // some may have come with a PROXY header
		return false, false
	}
	for until := s.proxy.clock.Now() + int64(s.proxy.cfg.Limits.HeaderTimeout); ; {
		in := s.conn.In.Bytes()
		n := min(len(in), len(http2.Preface))
		if !bytes.Equal(in[:n], []byte(http2.Preface[:n])) {
			return false, true
		}
		if n == len(http2.Preface) {
			return true, true
		}
		s.conn.ReadBy(until)
		if _, err := s.conn.Fill(); err != nil {
			return false, false
		}
	}
}

// serveHTTP2 serves a connection of HTTP/2 to its end.
func (s *session) serveHTTP2() {
	s.peer.Prepare()
	conn := mux.NewServer(&s.shard.http2, s, s.conn, &s.shard.pool, s.proxy.clock)
	s.mux.Store(conn)
	s.prepareToStop()
	if s.proxy.stopping.Load() {
		conn.Leave(true) // the drain may have passed by before
	}
	start, err := s.proxy.clock.Now(), conn.Run()
	s.linger = true // so that the client gets what was written last, and learns why
	var broken *http2.ConnError
	switch {
	case errors.As(err, &broken) && broken.Code == http2.EnhanceYourCalm:
		s.logBroken(start, reason.ClientAbuse, broken.Error())
	case errors.As(err, &broken):
		s.logBroken(start, reason.BadRequest, broken.Error())
	case errors.Is(err, mux.ErrSlow):
		s.logBroken(start, reason.ClientTimeout, err.Error())
	}
}

// prepareToStop asks the client of a draining proxy to open another connection.
func (s *session) prepareToStop() {
	switch conn := s.mux.Load(); {
	case !s.proxy.draining.Load():
	case conn != nil:
		conn.Leave(false)
	case s.quic != nil:
		s.quic.Leave(false)
	}
}

// Refused records a request that was malformed.
func (s *session) Refused(text string) {
	s.logBroken(s.proxy.clock.Now(), reason.BadRequest, text)
}

// Denied counts a request that there was no room for.
func (s *session) Denied() { s.listener.stats.StreamsRefused.Add(s.shard.index, 1) }

// logBroken records what never became an exchange.
func (s *session) logBroken(start int64, outcome reason.Outcome, detail string) {
	s.proxy.cfg.Metrics.Unrouted().Hit(s.shard.index, outcome.Row().Status, outcome)
	s.proxy.cfg.Log.Record(s.shard.index, &observe.Flow{
		Start: s.proxy.clock.Time(start), Duration: durationOf(start, s.proxy.clock.Now()),
		Client: s.peer.Addr, TLS: s.peer.TLS, Outcome: outcome, Detail: detail,
		Status: outcome.Row().Status, Major: s.version(),
	})
}

// version is the later version of HTTP that the client speaks.
func (s *session) version() uint8 {
	if s.quic != nil {
		return 3
	}
	return 2
}
