package frontend

import (
	"errors"
	"io"
	"os"

	"windrose.dev/windrose/internal/observe"
	"windrose.dev/windrose/internal/proxy/l4"
	"windrose.dev/windrose/internal/proxy/wire/proxyproto"
	"windrose.dev/windrose/internal/reason"
)

// readProxyHeader reads the PROXY header that a balancer must begin a connection with,
// and takes what it says of the client. What came behind it stays in the
// connection's buffer.
func (c *conn) readProxyHeader() bool {
	e := c.server.Engine
	start := e.Clock.Now()
	if err := c.await(true); err != nil {
		c.noProxyHeader(start, err)
		return false
	}
	c.sock.ReadBy(start + int64(e.Limits.HeaderTimeout))
	for {
		if c.sock.In != nil { // a message may have no bytes
			h, n, err := proxyproto.Parse(c.sock.In.Bytes())
			switch {
			case err == nil:
				if c.sock.In.Advance(n); c.sock.In.Len() == 0 {
					c.sock.ReleaseIn()
				}
				return c.takeProxyHeader(&h)
			case !errors.Is(err, proxyproto.ErrIncomplete):
				c.noProxyHeader(start, err)
				return false
			}
		}
		if _, err := c.sock.Fill(); err != nil {
			c.noProxyHeader(start, err)
			return false
		}
	}
}

// takeProxyHeader has the connection be that of the client that a header names, if that
// may have another one.
func (c *conn) takeProxyHeader(h *proxyproto.Header) bool {
	counter := c.listener.Stats.OwnProxyHeaders
	if h.Source.IsValid() {
		counter = c.listener.Stats.ProxyHeaders
	}
	counter.Add(c.Shard.Index, 1)
	c.facts.Header = h
	c.learn()
	if c.server.Trusts(c.Peer.Addr.Addr()) {
		return true
	}
	c.counted = c.server.clients.Add(c.Peer.Addr.Addr(), c.server.Engine.Limits.ConnectionsPerClient)
	if !c.counted {
		c.listener.Stats.Refused.Add(c.Shard.Index, 1)
	}
	return c.counted
}

// noProxyHeader says why a connection is closed. A balancer that left without a
// word, as it does to look whether the port is open, is not worth a line.
func (c *conn) noProxyHeader(start int64, err error) {
	if errors.Is(err, io.EOF) && c.sock.In == nil || c.server.Engine.Stopping() {
		return
	}
	detail := err.Error()
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		detail = "the PROXY header did not come in time"
	case errors.Is(err, io.EOF):
		detail = proxyproto.ErrIncomplete.Error()
	}
	c.listener.Stats.ProxyHeaderErrors.Add(c.Shard.Index, 1)
	c.record(&observe.Flow{
		Kind: observe.Unserved, Transport: "tcp", Host: l4.Host("", c.listener.Public), Outcome: reason.BadProxyHeader, Detail: detail,
	}, start)
}
