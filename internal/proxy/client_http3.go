package proxy

import (
	"errors"

	"windrose.dev/windrose/internal/proxy/msg"
)

// http3Client is a stream of a client's connection that speaks HTTP/3.
type http3Client struct {
	HTTP3Stream
	streamClient
}

// ServeHTTP3 serves one request.
func (s *session) ServeHTTP3(stream HTTP3Stream) {
	s.onStream(func(t *transfer) { t.serveHTTP3(stream) })
}

// serveHTTP3 runs the exchange of one stream.
func (t *transfer) serveHTTP3(stream HTTP3Stream) {
	c := &t.http3Client
	*c = http3Client{HTTP3Stream: stream, streamClient: streamClient{t: t}}
	t.client = c
	h := &t.x.Req
	h.Major, h.Minor = 3, 1
	fault, ok := errOverloaded, true
	if !t.proxy.overloaded(t.session.shard) {
		fault, ok = stream.Request(h)
	}
	switch {
	case !ok:
	case fault != nil:
		t.refuse(fault)
	default:
		t.began(stream.BodyLength())
		t.decide()
	}
}

func (c *http3Client) early() (data []byte, err error) {
	data, c.all, err = c.Early()
	return data, err
}

func (c *http3Client) more() (data []byte, err error) {
	data, c.all, err = c.More()
	return data, err
}

func (c *http3Client) took()           {}
func (c *http3Client) trailer() []byte { return c.Trailer() }

func (c *http3Client) interim(h *msg.Head) (sent int, err error) { return c.Interim(h) }

func (c *http3Client) begin(h *msg.Head, data []byte, last bool) (sent int, err error) {
	return c.Answer(h, data, last, c.t.trailerBehind(last))
}

func (c *http3Client) write(data []byte, last bool) (sent int, err error) {
	return c.Write(data, last, c.t.trailerBehind(last))
}

// errNoTunnel and the panic are for what cannot happen: over HTTP/3 no client can
// ask for another protocol, because extended CONNECT (RFC 9220) is not offered.
var errNoTunnel = errors.New("HTTP/3 has no tunnels here")

func (c *http3Client) accept(*msg.Head) (sent int, err error) { return 0, errNoTunnel }
func (c *http3Client) tunnel() (tunnelEnd, []byte)            { panic(errNoTunnel) }

// fault is nil: what is wrong comes with what is read.
func (c *http3Client) fault() *msg.Error { return nil }

func (c *http3Client) abort() { c.Abort() }

// finish leaves the stream to its connection, which discards what is left of the
// request before it finishes it.
func (c *http3Client) finish() {}
