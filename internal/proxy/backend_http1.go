package proxy

import (
	"bytes"
	"strconv"

	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/upstream"
	"windrose.dev/windrose/internal/proxy/wire/http1"
	"windrose.dev/windrose/internal/proxy/wire/http2"
)

// http1Backend is a connection to a backend that speaks HTTP/1, for one
// attempt.
type http1Backend struct {
	*upstream.Conn
	t      *transfer
	parser http1.Parser
	body   http1.Body // of the answer
	total  int64      // its length, or -1
	used   int        // bytes of In that took gives back
	alive  bool       // the connection goes on behind the answer
	framed []byte     // what give writes
}

var chunked = []byte("chunked")

func (b *http1Backend) reused() bool { return b.Reused }

func (b *http1Backend) ask() (sent int, err error) {
	t := b.t
	o := t.outgoing()
	t.out = appendPart(o.appendHTTP1(t.out[:0]), t.early, o.length, t.earlyWhole, t.requestTrailer())
	if t.earlyWhole {
		sent, _, err = b.SendFill(t.out)
		return sent, err
	}
	return b.Write(t.out)
}

// outgoing is a request as it goes to a backend, but for its body.
type outgoing struct {
	head    *msg.Head
	target  []byte
	length  int64  // of the body, or -1
	upgrade []byte // nil asks for no other protocol
	key     []byte // of a WebSocket; nil for none
	te      bool   // trailers are wanted
}

// outgoing returns the request as it goes to a backend now.
func (t *transfer) outgoing() outgoing {
	return outgoing{&t.x.Req, t.x.ForwardTarget(), t.x.BodyLength, t.upgrade, t.key, t.te}
}

// appendHTTP1 writes the head as HTTP/1 has it.
func (o *outgoing) appendHTTP1(dst []byte) []byte {
	h := o.head
	dst = http1.AppendRequestLine(dst, h.Bytes(h.Method), o.target)
	if !h.Has(msg.Host) {
		dst = append(dst, "Host: \r\n"...)
	}
	dst = http1.AppendFields(dst, h)
	switch {
	case o.length < 0:
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
	case o.length > 0 && !h.Has(msg.ContentLength):
		// Later versions need no Content-Length, and here the body would be taken for
		// the next request.
		dst = strconv.AppendInt(append(dst, "Content-Length: "...), o.length, 10)
		dst = append(dst, '\r', '\n')
	}
	if o.te {
		dst = append(dst, "Connection: TE\r\nTE: trailers\r\n"...)
	}
	if o.upgrade != nil {
		dst = append(append(append(dst, "Connection: Upgrade\r\nUpgrade: "...), o.upgrade...), '\r', '\n')
	}
	if o.key != nil {
		dst = append(append(append(dst, "Sec-WebSocket-Key: "...), o.key...), '\r', '\n')
	}
	return append(dst, '\r', '\n')
}

// http2 is the part of the head that HTTP/2 has beside the fields.
func (o *outgoing) http2(secure bool) http2.Request {
	r := http2.Request{Method: o.head.Bytes(o.head.Method), Scheme: schemeHTTP, Target: o.target, Trailers: o.te}
	if secure {
		r.Scheme = schemeHTTPS
	}
	return r
}

var schemeHTTP, schemeHTTPS = []byte("http"), []byte("https")

// appendPart frames a part of a body whose length is given, or -1.
func appendPart(dst, data []byte, length int64, last bool, trailer []byte) []byte {
	if length >= 0 {
		return append(dst, data...)
	}
	if dst = appendChunk(dst, data); last {
		dst = http1.AppendLastChunk(dst, trailer)
	}
	return dst
}

func appendChunk(dst, data []byte) []byte {
	if len(data) == 0 {
		return dst
	}
	dst = append(http1.AppendChunkHead(dst, len(data)), data...)
	return append(dst, '\r', '\n')
}

func (b *http1Backend) give(data []byte, last bool) error {
	if b.t.x.BodyLength < 0 {
		b.framed = appendPart(b.framed[:0], data, -1, last, b.t.requestTrailer())
		data = b.framed
	}
	_, err := b.Write(data)
	return err
}

func (b *http1Backend) wait() error {
	if b.In != nil && !b.In.MakeRoom(2*b.t.limits.HeadBytes) {
		return msg.ErrHeadTooLong
	}
	_, err := b.Fill()
	return err
}

func (b *http1Backend) head(h *msg.Head) (done bool, err error) {
	if b.In == nil {
		return false, nil
	}
	b.used, err = b.parser.Response(h, b.In.Bytes(), &b.t.limits)
	return b.used > 0, err
}

func (b *http1Backend) begin(h *msg.Head) ([]byte, error) {
	req := &b.t.x.Req
	kind, length, err := http1.ResponseFraming(h, req.Bytes(req.Method))
	if err != nil {
		return nil, err
	}
	b.alive = http1.KeepsAlive(h) && kind != http1.UntilClose
	b.Doubtful = kind == http1.NoBody && string(h.Get(msg.ContentLength)) != "0"
	b.body = http1.NewBody(kind, length)
	if b.total = length; kind == http1.Chunked || kind == http1.UntilClose {
		b.total = -1
	}
	rest := b.In.Bytes()[b.used:]
	n, taken, err := b.body.Compact(rest)
	b.used += taken
	return rest[:n], err
}

func (b *http1Backend) length() int64 { return b.total }

func (b *http1Backend) data() ([]byte, error) {
	n, taken, err := b.body.Compact(b.In.Bytes())
	b.used = taken
	return b.In.Bytes()[:n], err
}

func (b *http1Backend) took() {
	b.In.Advance(b.used)
	b.used, b.parser = 0, http1.Parser{}
}

// switched checks that the backend has switched to what was asked for.
func (b *http1Backend) switched(h *msg.Head) (bool, error) {
	t := b.t
	switch {
	case h.Status != 101:
		return false, nil
	case t.upgrade == nil || !http1.AsksFor(t.upgrade, h.Get(msg.Upgrade)):
		return false, errOtherProtocol
	case t.key != nil && string(h.Lookup(acceptName)) != string(acceptOf(t.key)):
		return false, errWrongKey
	}
	t.upgrade = bytes.Clone(h.Get(msg.Upgrade))
	return true, nil
}

func (b *http1Backend) tunnel() (tunnelEnd, []byte) {
	early := bytes.Clone(b.In.Bytes()[b.used:])
	b.ReleaseIn()
	return connEnd{b.Conn.Conn}, early
}

func (b *http1Backend) done() bool      { return b.body.Done() }
func (b *http1Backend) ends() bool      { return b.body.EOF() }
func (b *http1Backend) trailer() []byte { return b.body.Trailer() }
func (b *http1Backend) cut()            { b.Net().Close() }
func (b *http1Backend) close()          { b.Conn.Close() }

func (b *http1Backend) release() {
	if b.In != nil && b.In.Len() == 0 {
		b.ReleaseIn()
	}
	if !b.alive {
		b.Conn.Close()
		return
	}
	b.t.endpoint.Release(b.Conn, b.t.session.shard.index, b.t.proxy.clock.Now())
}
