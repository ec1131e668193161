package proxy

import (
	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/upstream"
	"windrose.dev/windrose/internal/proxy/wire/http1"
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
	t.out = t.appendHTTP1Body(t.appendHTTP1Head(t.out[:0]), t.early, t.earlyWhole)
	if t.earlyWhole {
		sent, _, err = b.SendFill(t.out)
		return sent, err
	}
	return b.Write(t.out)
}

// appendHTTP1Head writes the request's head as HTTP/1 has it.
func (t *transfer) appendHTTP1Head(dst []byte) []byte {
	h := &t.x.Req
	dst = http1.AppendRequestLine(dst, h.Bytes(h.Method), t.x.ForwardTarget())
	if !h.Has(msg.Host) {
		dst = append(dst, "Host: \r\n"...)
	}
	dst = http1.AppendFields(dst, h)
	if t.x.BodyLength < 0 {
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
	}
	if t.te {
		dst = append(dst, "Connection: TE\r\nTE: trailers\r\n"...)
	}
	if t.upgrade != nil {
		dst = append(append(append(dst, "Connection: Upgrade\r\nUpgrade: "...), t.upgrade...), '\r', '\n')
	}
	return append(dst, '\r', '\n')
}

// appendHTTP1Body frames a part of the request's body.
func (t *transfer) appendHTTP1Body(dst, data []byte, last bool) []byte {
	if t.x.BodyLength >= 0 {
		return append(dst, data...)
	}
	dst = appendChunk(dst, data)
	if last {
		dst = http1.AppendLastChunk(dst, t.client.trailer())
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
		b.framed = b.t.appendHTTP1Body(b.framed[:0], data, last)
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
