package httpx

import (
	"errors"

	"windrose.dev/windrose/internal/proxy/l4"
	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/mux"
	"windrose.dev/windrose/internal/proxy/wire/http2"
)

// streamClient is what streams of HTTP/2 and HTTP/3 have in common as the end of an
// exchange: their heads stay where they are, and what is left of a request ends with
// its stream and is in nobody's way.
type streamClient struct {
	all bool // the whole body was taken
}

func (c *streamClient) park()        {}
func (c *streamClient) whole() bool  { return c.all }
func (c *streamClient) skip() bool   { return true }
func (c *streamClient) closeAfter()  {}
func (c *streamClient) goesOn() bool { return true }

// http2Client is a stream of a client's connection that speaks HTTP/2.
type http2Client struct {
	*mux.Stream
	streamClient
	// opens tells that what comes is no body, but a tunnel's bytes once that is
	// open.
	opens bool
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

// discard takes the rest of a request: curl 7.88 goes on sending behind an answer whose
// status says that all is well, and then waits for an end that it has seen already.
// Behind others it stops.
func (c *http2Client) discard() { c.Discard() }

func (c *http2Client) interim(h *msg.Head) (sent int, err error) {
	return 0, c.Answer(h, nil, false, nil)
}

func (c *http2Client) begin(a *answer) (sent int, err error) {
	err = c.Answer(a.head, a.data, a.last, a.trailer)
	return len(a.data), err
}

func (c *http2Client) write(p part) (sent int, err error) {
	err = c.Write(p.data, p.last, p.trailer)
	return len(p.data), err
}

// accept answers 200, which is what opens a tunnel here (RFC 8441 §5).
func (c *http2Client) accept(h *msg.Head, _ *upgrade) (sent int, err error) {
	h.Status = 200
	h.DropName([]byte(acceptName))
	return 0, c.Answer(h, nil, false, nil)
}

func (c *http2Client) tunnel() (l4.End, []byte) { return l4.StreamEnd{Stream: c.Stream}, nil }

func (c *http2Client) fault() *msg.Error { return c.Broken() }

func (c *http2Client) abort() { c.Reset(http2.InternalError) }

// finish resets a stream whose answer was not sent whole. Of others the connection
// discards what is left of the request.
func (c *http2Client) finish() { c.Finish() }

// http3Client is a stream of a client's connection that speaks HTTP/3.
type http3Client struct {
	HTTP3Stream
	streamClient
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
func (c *http3Client) discard()        {}

func (c *http3Client) interim(h *msg.Head) (sent int, err error) { return c.Interim(h) }

func (c *http3Client) begin(a *answer) (sent int, err error) {
	return c.Answer(a.head, a.data, a.last, a.trailer)
}

func (c *http3Client) write(p part) (sent int, err error) {
	return c.Write(p.data, p.last, p.trailer)
}

// errNoTunnel and the panic are for what cannot happen: over HTTP/3 no client can
// ask for another protocol, because extended CONNECT (RFC 9220) is not offered.
var errNoTunnel = errors.New("HTTP/3 has no tunnels here")

func (c *http3Client) accept(*msg.Head, *upgrade) (sent int, err error) { return 0, errNoTunnel }
func (c *http3Client) tunnel() (l4.End, []byte)                         { panic(errNoTunnel) }

// fault is nil: what is wrong comes with what is read.
func (c *http3Client) fault() *msg.Error { return nil }

func (c *http3Client) abort() { c.Abort() }

// finish leaves the stream to its connection, which discards what is left of the
// request before it finishes it.
func (c *http3Client) finish() {}
