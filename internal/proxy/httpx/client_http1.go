package httpx

import (
	"bytes"
	"errors"
	"os"
	"strconv"

	"windrose.dev/windrose/internal/proxy/engine"
	"windrose.dev/windrose/internal/proxy/l4"
	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/sock"
	"windrose.dev/windrose/internal/proxy/wire/http1"
)

// http1Client is a client's connection that speaks HTTP/1, for one exchange.
type http1Client struct {
	*sock.Conn
	engine *engine.Engine
	shard  *engine.Shard
	limits *msg.Limits
	out    *[]byte // for what is written

	head      *msg.Head // of the request
	headBytes int       // of it, in In or in pinned
	taken     int       // bytes of its body behind the head
	piece     int       // bytes that more has returned
	pinned    *sock.Buffer
	body      http1.Body

	keepAlive bool
	linger    bool // the end of the connection waits until the client has read what was sent
	chunk     bool // the answer's body goes out in chunks
}

// errQuiet ends a connection without an answer: there is nobody to answer.
var errQuiet = errors.New("the client left")

// readHead reads the request's head, which began to come at start. secure has the
// writes be bounded that TLS makes meanwhile.
func (c *http1Client) readHead(start int64, secure bool) error {
	var parser http1.Parser
	bounded := false
	for {
		n, err := parser.Request(c.head, c.In.Bytes(), c.limits)
		if err != nil {
			return err
		}
		if n > 0 {
			c.headBytes = n
			return nil
		}
		if !bounded {
			bounded = true
			c.boundHead(start, secure)
		}
		if c.shard.Full() {
			return errOverloaded
		}
		c.In.MakeRoom(2 * c.limits.HeadBytes)
		if _, err := c.Fill(); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) && parser.Started(c.In.Bytes()) {
				return msg.ErrHeadTimeout
			}
			return errQuiet
		}
	}
}

// boundHead bounds how long the head may take.
func (c *http1Client) boundHead(start int64, secure bool) {
	limit := c.engine.Limits.HeaderTimeout
	if c.ReadBy(start + int64(limit)); secure {
		c.LimitWrites(start, limit)
	}
}

// frame finds the body's end, and takes off what concerns this connection alone. It
// returns the body's length, or -1, and the protocols to switch to.
func (c *http1Client) frame() (length int64, protocols []byte, err error) {
	kind, length, err := http1.RequestFraming(c.head)
	if err != nil {
		return 0, nil, err
	}
	c.body = http1.NewBody(kind, length)
	if kind == http1.Chunked {
		length = -1
	}
	c.keepAlive = http1.KeepsAlive(c.head) && !c.engine.Draining()
	if protocols = http1.UpgradeOf(c.head); namesH2C(protocols) || kind != http1.NoBody {
		protocols = nil // h2c would carry requests that nobody looks at
	}
	return length, protocols, nil
}

func (c *http1Client) early() ([]byte, error) {
	if c.body.Done() {
		return nil, nil
	}
	rest := c.In.Bytes()[c.headBytes:]
	n, taken, err := c.body.Compact(rest)
	c.taken = taken
	return rest[:n], err
}

func (c *http1Client) park() { c.pinned, c.In = c.In, nil }

func (c *http1Client) more() ([]byte, error) {
	if _, err := c.Fill(); err != nil {
		return nil, err
	}
	n, taken, err := c.body.Compact(c.In.Bytes())
	c.piece = taken
	return c.In.Bytes()[:n], err
}

func (c *http1Client) took() {
	if c.In.Advance(c.piece); c.In.Len() == 0 {
		c.ReleaseIn()
	}
}

func (c *http1Client) whole() bool     { return c.body.Done() }
func (c *http1Client) trailer() []byte { return c.body.Trailer() }

func (c *http1Client) skip() bool {
	if c.pinned != nil || c.headBytes == 0 {
		return c.body.Done() && c.headBytes > 0
	}
	if !c.body.Done() {
		_, taken, err := c.body.Compact(c.In.Bytes()[c.headBytes+c.taken:])
		if c.taken += taken; err != nil {
			return false
		}
	}
	return c.body.Done()
}

// discard is for later versions: whoever serves the connection reads it to its end.
func (c *http1Client) discard() {}

// old reports whether the client speaks HTTP/1.0.
func (c *http1Client) old() bool { return c.head.Minor == 0 }

func (c *http1Client) interim(h *msg.Head) (sent int, err error) {
	if c.old() {
		return 0, nil
	}
	*c.out = http1.AppendResponse((*c.out)[:0], h)
	return c.Write(*c.out)
}

func (c *http1Client) begin(a *answer) (sent int, err error) {
	h, out := a.head, (*c.out)[:0]
	c.frameAnswer(a)
	if a.own {
		out = http1.AppendStatus(out, h.Status, phraseOf(h.Status))
	} else {
		out = http1.AppendStatus(out, h.Status, h.Bytes(h.Reason))
	}
	out = append(http1.AppendFields(out, h), '\r', '\n')
	*c.out = c.appendBody(out, a.part)
	return c.Write(*c.out)
}

var chunked = []byte("chunked")

// frameAnswer says to the client how the answer ends, and whether the
// connection goes on.
func (c *http1Client) frameAnswer(a *answer) {
	h, unknown := a.head, a.length < 0
	toHead := string(c.head.Bytes(c.head.Method)) == "HEAD"
	switch {
	case h.Status == 204 || unknown && (h.Status == 304 || toHead):
	case unknown && !c.old():
		c.chunk = true
		h.Add(msg.TransferEncoding, "Transfer-Encoding", chunked)
	case unknown:
		c.keepAlive = false
	case !h.Has(msg.ContentLength) && h.Status != 304 && !toHead:
		h.Add(msg.ContentLength, "Content-Length", strconv.AppendInt(nil, a.length, 10))
	}
	if !a.requestDone {
		c.closeAfter() // the answer came before the request's end
	}
	c.addConnection(h)
}

func (c *http1Client) addConnection(h *msg.Head) {
	if c.engine.Draining() {
		c.closeAfter() // the client may have sent another request already
	}
	switch {
	case !c.keepAlive:
		h.Add(msg.Connection, "Connection", []byte("close"))
	case c.old():
		h.Add(msg.Connection, "Connection", []byte("keep-alive"))
	}
}

// appendBody frames a piece of the answer's body.
func (c *http1Client) appendBody(dst []byte, p part) []byte {
	if !c.chunk {
		return append(dst, p.data...)
	}
	return appendPart(dst, p, -1)
}

func (c *http1Client) write(p part) (sent int, err error) {
	data := p.data
	if c.chunk {
		*c.out = appendPart((*c.out)[:0], p, -1)
		data = *c.out
	}
	if len(data) == 0 {
		return 0, nil
	}
	return c.Write(data)
}

// accept answers 101, and to the key of a WebSocket where the backend needed none.
func (c *http1Client) accept(h *msg.Head, to *upgrade) (sent int, err error) {
	h.Status, h.Reason = 101, msg.Span{}
	if to.key != nil {
		h.SetName(acceptName, acceptOf(to.key))
	}
	h.Add(msg.Connection, "Connection", []byte("Upgrade"))
	h.Set(msg.Upgrade, "Upgrade", to.protocol)
	*c.out = append(http1.AppendStatus((*c.out)[:0], 101, "Switching Protocols"), http1.AppendFields(nil, h)...)
	*c.out = append(*c.out, '\r', '\n')
	return c.Write(*c.out)
}

// tunnel leaves the head of the request where it is, for the log and for whoever
// decides anew: the tunnel reads into a buffer of its own.
func (c *http1Client) tunnel() (l4.End, []byte) {
	early := bytes.Clone(c.In.Bytes()[c.headBytes:])
	c.park()
	return l4.ConnEnd{Conn: c.Conn}, early
}

func (c *http1Client) fault() *msg.Error { return nil }

func (c *http1Client) closeAfter()  { c.keepAlive, c.linger = false, true }
func (c *http1Client) abort()       { c.keepAlive, c.linger = false, false }
func (c *http1Client) goesOn() bool { return c.keepAlive }

func (c *http1Client) finish() {
	if c.pinned != nil {
		c.shard.Pool.Put(c.pinned)
		c.pinned = nil
	} else if c.In != nil {
		c.In.Advance(c.headBytes + c.taken)
		if c.In.Len() == 0 {
			c.ReleaseIn()
		}
	}
}

// after is what becomes of the connection.
func (c *http1Client) after() Next {
	switch {
	case c.linger:
		return Linger
	case c.keepAlive:
		return KeepAlive
	}
	return Close
}
