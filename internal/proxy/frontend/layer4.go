package frontend

import (
	"errors"
	"io"
	"os"

	"windrose.dev/windrose/internal/observe"
	"windrose.dev/windrose/internal/proxy/l4"
	"windrose.dev/windrose/internal/proxy/wire/sniff"
	"windrose.dev/windrose/internal/reason"
)

// servedOnLayer4 serves a connection that a route of layer 4 takes, and reports
// whether one did, or would have. What it has read of one that is HTTP's stays in the
// connection's buffer.
func (c *conn) servedOnLayer4() bool {
	routes := c.server.Generation().L4Routes(c.listener.ID)
	if routes == nil {
		return false
	}
	in := &l4.Client{
		Conn: c.sock, Shard: c.Shard, Start: c.server.Engine.Clock.Now(),
		Stats: c.listener.Stats, Public: c.listener.Public, Inbound: &c.Peer.Inbound, Named: routes.Named, Terminate: c.terminate,
	}
	if routes.Named && !c.readServerName(in) {
		return true
	}
	route, http := routes.Match(c.Peer.ServerName)
	if !http {
		c.server.L4.Serve(in, route)
	}
	return !http
}

// readServerName reads the ClientHello for the server name. Time and length are
// bounded as a handshake's are.
func (c *conn) readServerName(in *l4.Client) bool {
	c.sock.ReadBy(in.Start + int64(c.server.Engine.Limits.HeaderTimeout))
	for held := c.sock.In != nil; ; held = false { // some may have come with a PROXY header
		if !held {
			if _, err := c.sock.Fill(); err != nil {
				c.refuseHello(in, err)
				return false
			}
		}
		if c.sock.In == nil {
			continue // a message of no bytes
		}
		hello, err := sniff.Parse(c.sock.In.Bytes())
		switch {
		case err == nil:
			c.facts.Hello = hello.ServerName
			c.learn()
			return true
		case !errors.Is(err, sniff.ErrIncomplete) || !c.sock.In.MakeRoom(sniff.MaxHello):
			c.refuseHello(in, err)
			return false
		case c.Shard.Full(): // slow ones must not hold all the memory
			c.server.L4.Refuse(in, reason.Overloaded, l4.Overload)
			return false
		}
	}
}

// refuseHello ends a connection whose ClientHello did not come. One that left
// without a word is not worth a line, as with handshakes.
func (c *conn) refuseHello(in *l4.Client, err error) {
	c.listener.Stats.HandshakeErrors.Add(c.Shard.Index, 1)
	if errors.Is(err, io.EOF) && c.sock.In == nil {
		return
	}
	detail := err.Error()
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		detail = "the ClientHello did not come in time"
	case errors.Is(err, io.EOF):
		detail = sniff.ErrIncomplete.Error()
	}
	c.sock.Reset()
	c.record(&observe.Flow{
		Kind: observe.Unserved, Transport: "tls", Host: l4.Host("", c.listener.Public), Outcome: reason.HandshakeFailed, Detail: detail,
	}, in.Start)
}

// terminate takes TLS off a connection of layer 4.
func (c *conn) terminate() bool {
	t := c.listener.tls()
	if t == nil {
		c.sock.Reset() // the listener has just become another
		return false
	}
	return c.handshake(t, t.opaque) && c.admit()
}
