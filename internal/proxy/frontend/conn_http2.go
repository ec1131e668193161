package frontend

import (
	"bytes"
	"errors"

	"windrose.dev/windrose/internal/observe"
	"windrose.dev/windrose/internal/proxy/mux"
	"windrose.dev/windrose/internal/proxy/wire/http2"
	"windrose.dev/windrose/internal/reason"
)

// startsHTTP2 reports whether the client speaks HTTP/2 without having asked for
// it (RFC 9113 §3.3). It waits for as much as tells its preface from HTTP/1;
// alive is false when that did not come.
func (c *conn) startsHTTP2() (starts, alive bool) {
	if c.sock.In == nil && c.await(true) != nil { // some may have come with a PROXY header
		return false, false
	}
	e := c.server.Engine
	for until := e.Clock.Now() + int64(e.Limits.HeaderTimeout); ; {
		in := c.sock.In.Bytes()
		n := min(len(in), len(http2.Preface))
		if !bytes.Equal(in[:n], []byte(http2.Preface[:n])) {
			return false, true
		}
		if n == len(http2.Preface) {
			return true, true
		}
		c.sock.ReadBy(until)
		if _, err := c.sock.Fill(); err != nil {
			return false, false
		}
	}
}

// streams is a connection whose requests come in streams, of HTTP/2 or HTTP/3.
type streams struct{ *conn }

// serveHTTP2 serves a connection of HTTP/2 to its end.
func (c streams) serveHTTP2() {
	e := c.server.Engine
	c.Peer.Prepare()
	conn := mux.NewServer(c.server.HTTP2[c.Shard.Index], c, c.sock, &c.Shard.Pool, e.Clock)
	c.mux.Store(conn)
	c.prepareToStop()
	if e.Stopping() {
		conn.Leave(true) // the drain may have passed by before
	}
	start, err := e.Clock.Now(), conn.Run()
	c.linger = true // so that the client gets what was written last, and learns why
	var broken *http2.ConnError
	switch {
	case errors.As(err, &broken) && broken.Code == http2.EnhanceYourCalm:
		c.recordBroken(start, reason.ClientAbuse, broken.Error())
	case errors.As(err, &broken):
		c.recordBroken(start, reason.BadRequest, broken.Error())
	case errors.Is(err, mux.ErrSlow):
		c.recordBroken(start, reason.ClientTimeout, err.Error())
	}
}

// ServeStream serves one request of HTTP/2.
func (c streams) ServeStream(stream *mux.Stream) { c.server.HTTP.ServeHTTP2(&c.Connection, stream) }

// Refused records a request that was malformed.
func (c streams) Refused(text string) {
	c.recordBroken(c.server.Engine.Clock.Now(), reason.BadRequest, text)
}

// Denied counts a request that there was no room for.
func (c streams) Denied() { c.listener.Stats.StreamsRefused.Add(c.Shard.Index, 1) }

// recordBroken records a request, or a connection, that broke a rule of HTTP/2 or
// HTTP/3 and became no exchange.
func (c streams) recordBroken(start int64, outcome reason.Outcome, detail string) {
	f := observe.Flow{
		Rule: c.server.Engine.Sink.Metrics.Unrouted(), TLS: c.Peer.TLS, Outcome: outcome, Detail: detail,
		Status: outcome.Row().Status, Major: 2,
	}
	if c.quic != nil {
		f.Major = 3
	}
	c.record(&f, start)
}
