package proxy

import (
	"errors"
	"io"
	"os"

	"windrose.dev/windrose/internal/observe"
	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/proxy/wire/sniff"
	"windrose.dev/windrose/internal/reason"
)

// relayed serves a connection that is a relay's, on layer 4, and tells whether
// it was one. What it has read of one that is HTTP's stays in the connection's
// buffer.
func (s *session) relayed() bool {
	gen := s.proxy.live.Load().gen
	relays := gen.Relays(s.listener.id)
	if relays == nil {
		return false
	}
	c := newConduit(s, relays.Named)
	if relays.Named && !c.sniff() {
		return true
	}
	relay, http := relays.Match(c.name)
	if http {
		return false
	}
	c.serve(gen, relay)
	return true
}

const overload = "buffers hold as much memory as they may"

// sniff reads the ClientHello for the server name. Time and length are bounded
// as a handshake's are.
func (c *conduit) sniff() bool {
	s := c.session
	s.conn.ReadBy(c.start + int64(c.proxy.cfg.Limits.HeaderTimeout))
	for held := s.conn.In != nil; ; held = false { // some may have come with a PROXY header
		if !held {
			if _, err := s.conn.Fill(); err != nil {
				c.refuseHello(err)
				return false
			}
		}
		if s.conn.In == nil {
			continue // a message of no bytes
		}
		hello, err := sniff.Parse(s.conn.In.Bytes())
		switch {
		case err == nil:
			c.name = hello.ServerName
			return true
		case !errors.Is(err, sniff.ErrIncomplete) || !s.conn.In.MakeRoom(sniff.MaxHello):
			c.refuseHello(err)
			return false
		case c.proxy.overloaded(s.shard): // slow ones must not hold all the memory
			c.refuse(c.proxy.cfg.Metrics.Unrouted(), reason.Overloaded, overload)
			return false
		}
	}
}

// refuseHello ends a connection whose ClientHello did not come. One that left
// without a word is not worth a line, as with handshakes.
func (c *conduit) refuseHello(err error) {
	s := c.session
	s.listener.stats.HandshakeErrors.Add(s.shard.index, 1)
	if errors.Is(err, io.EOF) && s.conn.In == nil {
		return
	}
	c.detail = err.Error()
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.detail = "the ClientHello did not come in time"
	case errors.Is(err, io.EOF):
		c.detail = sniff.ErrIncomplete.Error()
	}
	s.conn.Reset()
	c.log(reason.HandshakeFailed)
}

// serve carries a connection to a backend of its relay, or refuses it. relay is
// nil where nothing is routed.
func (c *conduit) serve(gen *exchange.Generation, relay *exchange.Relay) {
	if relay == nil {
		c.refuse(c.proxy.cfg.Metrics.Unrouted(), reason.NoRoute, "no rule takes this server name")
		return
	}
	c.rule, c.origin, c.stats = relay.Rule.ID, relay.Origin, relay.Stats
	if relay.Idle > 0 {
		c.idle = relay.Idle
	}
	cluster, respond := relay.Draw(gen)
	if respond != nil {
		c.refuse(c.stats, respond.Outcome, respond.Why)
		return
	}
	if c.proxy.overloaded(c.session.shard) {
		c.refuse(c.stats, reason.Overloaded, overload)
		return
	}
	if relay.Rule.Terminate && !c.terminate() {
		c.stats.Relay(c.session.shard.index, reason.HandshakeFailed)
		return
	}
	if outcome := c.connect(relay, cluster); outcome != reason.OK {
		c.refuse(c.stats, outcome, c.detail)
		return
	}
	c.run()
}

// terminate takes TLS off.
func (c *conduit) terminate() bool {
	t := c.proxy.live.Load().tls[c.session.listener.id]
	if t == nil {
		c.session.conn.Reset() // the listener has just become another
		return false
	}
	return c.session.handshake(t, t.opaque)
}

// refuse ends a connection that goes nowhere, so that the client sees an error.
func (c *conduit) refuse(stats *observe.Route, outcome reason.Outcome, why string) {
	c.detail = why
	c.session.conn.Reset()
	stats.Relay(c.session.shard.index, outcome)
	c.log(outcome)
}
