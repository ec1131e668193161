package proxy

import (
	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/mux"
	"windrose.dev/windrose/internal/proxy/wire/http2"
	"windrose.dev/windrose/internal/reason"
)

// http2Client is a stream of a client's connection that speaks HTTP/2.
type http2Client struct {
	*mux.Stream
	streamClient
	// opens tells that what comes is no body, but a tunnel's bytes once that is
	// open.
	opens bool
}

// ServeStream serves one request.
func (s *session) ServeStream(stream *mux.Stream) {
	s.onStream(func(t *transfer) { t.serveHTTP2(stream) })
}

// serveHTTP2 runs the exchange of one stream.
func (t *transfer) serveHTTP2(stream *mux.Stream) {
	c := &t.http2Client
	*c = http2Client{Stream: stream, streamClient: streamClient{t: t}}
	t.client = c
	if fault := stream.Request(&t.x.Req); fault != nil {
		t.refuse(fault)
		return
	}
	t.began(stream.BodyLength())
	t.serveProtocol(c, stream.Protocol())
}

// errProtocol refuses tunnels whose bytes we know nothing of: h2c, say, would
// carry requests that nobody looks at.
var errProtocol = &msg.Error{Outcome: reason.NotImplemented, Text: "a protocol other than websocket is not offered here (RFC 8441 §4)"}

// serveProtocol goes on with a request that may be an extended CONNECT.
func (t *transfer) serveProtocol(c *http2Client, protocol string) {
	switch protocol {
	case "":
	case "websocket":
		t.upgrade, t.key = []byte(protocol), makeKey()
		t.x.BodyLength, c.opens = 0, true
		t.x.Req.Drop(msg.ContentLength) // what comes is no body
	default:
		t.refuse(errProtocol)
		return
	}
	t.decide()
}

func (c *http2Client) early() ([]byte, error) {
	if c.opens {
		c.all = true
		return nil, nil
	}
	var data []byte
	data, c.all = c.Early()
	return data, nil
}

func (c *http2Client) more() ([]byte, error) {
	if err := c.Wait(); err != nil {
		return nil, err
	}
	var data []byte
	data, c.all = c.Data()
	return data, nil
}

func (c *http2Client) took() { c.Took() }

// trailer is nothing before the body's end: until then it may be written.
func (c *http2Client) trailer() []byte {
	if !c.all {
		return nil
	}
	return c.Trailer()
}

func (c *http2Client) interim(h *msg.Head) (sent int, err error) {
	return 0, c.Answer(h, nil, false, nil)
}

func (c *http2Client) begin(h *msg.Head, data []byte, last bool) (sent int, err error) {
	err = c.Answer(h, data, last, c.t.trailerBehind(last))
	return len(data), err
}

func (c *http2Client) write(data []byte, last bool) (sent int, err error) {
	err = c.Write(data, last, c.t.trailerBehind(last))
	return len(data), err
}

// skip takes the rest of a request of known length before an answer of ours whose
// status is below 300: curl 7.88 goes on sending behind such an answer, and then waits
// for an end that it has seen already. Behind other statuses it stops.
func (c *http2Client) skip() bool {
	t := c.t
	if succeeds := t.call || t.x.Resp.Status < 300; succeeds && t.x.BodyLength > 0 && t.x.Outcome != reason.ClientTimeout {
		c.Discard()
	}
	return true
}

// accept answers 200, which is what opens a tunnel here (RFC 8441 §5).
func (c *http2Client) accept(h *msg.Head) (sent int, err error) {
	h.Status = 200
	h.DropName([]byte(acceptName))
	return 0, c.Answer(h, nil, false, nil)
}

func (c *http2Client) tunnel() (tunnelEnd, []byte) { return streamEnd{c.Stream}, nil }

func (c *http2Client) fault() *msg.Error { return c.Broken() }

func (c *http2Client) abort() { c.Reset(http2.InternalError) }

// finish resets a stream whose answer was not sent whole. Of others the connection
// discards what is left of the request.
func (c *http2Client) finish() { c.Stream.Finish() }
