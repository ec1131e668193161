package httpx

import (
	"bytes"

	"windrose.dev/windrose/internal/proxy/l4"
	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/sock"
	"windrose.dev/windrose/internal/proxy/upstream"
	"windrose.dev/windrose/internal/proxy/wire/http1"
)

// http1Backend is a connection to a backend that speaks HTTP/1, for one
// attempt.
type http1Backend struct {
	*upstream.Conn
	pool   *upstream.Pool
	shard  int
	clock  *sock.Clock
	limits *msg.Limits
	out    *[]byte // for what ask writes
	framed []byte  // what give writes

	// Of the request.
	method  []byte
	chunked bool
	upgrade *upgrade

	// Of the answer.
	parser http1.Parser
	body   http1.Body
	total  int64 // its length, or -1
	used   int   // bytes of In that took gives back
	alive  bool  // the connection goes on behind the answer
}

func (b *http1Backend) reused() bool { return b.Reused }

func (b *http1Backend) ask(o *outgoing) (sent int, err error) {
	b.method, b.chunked, b.upgrade = o.method(), o.length < 0, o.upgrade
	out := appendPart(o.appendHTTP1((*b.out)[:0]), o.part, o.length)
	*b.out = out
	if o.last {
		sent, _, err = b.SendFill(out)
		return sent, err
	}
	return b.Write(out)
}

func (b *http1Backend) give(p part) error {
	data := p.data
	if b.chunked {
		b.framed = appendPart(b.framed[:0], p, -1)
		data = b.framed
	}
	_, err := b.Write(data)
	return err
}

func (b *http1Backend) wait() error {
	if b.In != nil && !b.In.MakeRoom(2*b.limits.HeadBytes) {
		return msg.ErrHeadTooLong
	}
	_, err := b.Fill()
	return err
}

func (b *http1Backend) head(h *msg.Head) (done bool, err error) {
	if b.In == nil {
		return false, nil
	}
	b.used, err = b.parser.Response(h, b.In.Bytes(), b.limits)
	return b.used > 0, err
}

func (b *http1Backend) begin(h *msg.Head) ([]byte, error) {
	kind, length, err := http1.ResponseFraming(h, b.method)
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

func (b *http1Backend) switched(h *msg.Head) (bool, error) { return b.upgrade.accepts(h) }

func (b *http1Backend) tunnel() (l4.End, []byte) {
	early := bytes.Clone(b.In.Bytes()[b.used:])
	b.ReleaseIn()
	return l4.ConnEnd{Conn: b.Conn.Conn}, early
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
	b.pool.Release(b.Conn, b.shard, b.clock.Now())
}
