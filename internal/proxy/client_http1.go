package proxy

import (
	"bytes"
	"errors"
	"os"
	"strconv"

	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/sock"
	"windrose.dev/windrose/internal/proxy/wire/http1"
)

// http1Client is a client's connection that speaks HTTP/1, for one exchange.
type http1Client struct {
	*sock.Conn
	t       *transfer
	session *session

	headBytes int // of the request, in In or in pinned
	taken     int // bytes of its body behind the head
	piece     int // bytes that more has returned
	pinned    *sock.Buffer
	body      http1.Body

	keepAlive bool
	chunk     bool // the answer's body goes out in chunks
}

// serveHTTP1 runs one exchange. It returns whether the connection can carry
// another.
func (t *transfer) serveHTTP1(s *session) (again bool) {
	c := &t.http1Client
	*c = http1Client{Conn: s.conn, t: t, session: s}
	t.client, t.session = c, s
	t.start = t.proxy.clock.Now()
	switch err := c.readHead(); {
	case err == errQuiet:
		return false
	case err != nil:
		c.closeAfter() // where the next request would begin is not known
		again = t.refuse(err)
	default:
		again = t.decide()
	}
	t.finish()
	return again
}

// errQuiet ends a connection without an answer: there is nobody to answer.
var errQuiet = errors.New("the client left")

// readHead reads the request's head and finds how its body ends.
func (c *http1Client) readHead() error {
	t := c.t
	var parser http1.Parser
	bounded := false
	for {
		n, err := parser.Request(&t.x.Req, c.In.Bytes(), &t.limits)
		if err != nil {
			return err
		}
		if n > 0 {
			c.headBytes = n
			return c.frame()
		}
		if !bounded {
			bounded = true
			c.ReadBy(t.start + int64(t.proxy.cfg.Limits.HeaderTimeout))
			c.session.limitReplies(t.start)
		}
		if t.proxy.overloaded(c.session.shard) {
			return errOverloaded
		}
		c.In.MakeRoom(2 * t.limits.HeadBytes)
		if _, err := c.Fill(); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) && parser.Started(c.In.Bytes()) {
				return msg.ErrHeadTimeout
			}
			return errQuiet
		}
	}
}

// frame finds the body's end and what concerns this connection alone, which
// then goes.
func (c *http1Client) frame() error {
	t, h := c.t, &c.t.x.Req
	kind, length, err := http1.RequestFraming(h)
	if err != nil {
		return err
	}
	c.body = http1.NewBody(kind, length)
	if t.x.BodyLength = length; kind == http1.Chunked {
		t.x.BodyLength = -1
	}
	c.keepAlive = http1.KeepsAlive(h) && !t.proxy.draining.Load()
	if t.upgrade = http1.UpgradeOf(h); namesH2C(t.upgrade) || kind != http1.NoBody {
		t.upgrade = nil // h2c would carry requests that nobody looks at
	}
	t.te, t.call = msg.HasToken(h.Get(msg.TE), "trailers"), t.findWebCall(h)
	http1.DropHopByHop(h)
	return nil
}

// namesH2C tells whether a list of protocols has h2c, of any version.
func namesH2C(protocols []byte) bool {
	for rest := protocols; len(rest) > 0; {
		var one []byte
		one, rest = msg.NextToken(rest)
		name, _, _ := bytes.Cut(one, []byte("/"))
		name, _, _ = bytes.Cut(name, []byte(";"))
		if msg.EqualFold(bytes.TrimSpace(name), "h2c") {
			return true
		}
	}
	return false
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

func (c *http1Client) interim(h *msg.Head) (sent int, err error) {
	if c.t.x.Req.Minor == 0 {
		return 0, nil
	}
	c.t.out = http1.AppendResponse(c.t.out[:0], h)
	return c.Write(c.t.out)
}

func (c *http1Client) begin(h *msg.Head, data []byte, last bool) (sent int, err error) {
	c.frameAnswer(h)
	t := c.t
	if t.x.Answered {
		t.out = http1.AppendStatus(t.out[:0], h.Status, phraseOf(h.Status))
	} else {
		t.out = http1.AppendStatus(t.out[:0], h.Status, h.Bytes(h.Reason))
	}
	t.out = append(http1.AppendFields(t.out, h), '\r', '\n')
	t.out = c.appendBody(t.out, data, last)
	return c.Write(t.out)
}

// frameAnswer says to the client how the answer ends, and whether the
// connection goes on.
func (c *http1Client) frameAnswer(h *msg.Head) {
	unknown, req := c.t.answerLength < 0, &c.t.x.Req
	switch {
	case h.Status == 204 || unknown && (h.Status == 304 || string(req.Bytes(req.Method)) == "HEAD"):
	case unknown && req.Minor == 1:
		c.chunk = true
		h.Add(msg.TransferEncoding, "Transfer-Encoding", chunked)
	case unknown:
		c.keepAlive = false
	case !h.Has(msg.ContentLength) && h.Status != 304 && string(req.Bytes(req.Method)) != "HEAD":
		h.Add(msg.ContentLength, "Content-Length", strconv.AppendInt(nil, c.t.answerLength, 10))
	}
	if !c.t.requestTaken() {
		c.closeAfter() // the answer came before the request's end
	}
	c.addConnection(h)
}

func (c *http1Client) addConnection(h *msg.Head) {
	if c.t.proxy.draining.Load() {
		c.closeAfter() // the client may have sent another request already
	}
	switch {
	case !c.keepAlive:
		h.Add(msg.Connection, "Connection", []byte("close"))
	case c.t.x.Req.Minor == 0:
		h.Add(msg.Connection, "Connection", []byte("keep-alive"))
	}
}

// appendBody frames a piece of the answer's body.
func (c *http1Client) appendBody(dst, data []byte, last bool) []byte {
	if !c.chunk {
		return append(dst, data...)
	}
	dst = appendChunk(dst, data)
	if last {
		dst = http1.AppendLastChunk(dst, c.t.answerTrailer())
	}
	return dst
}

func (c *http1Client) write(data []byte, last bool) (sent int, err error) {
	if c.chunk {
		c.t.out = c.appendBody(c.t.out[:0], data, last)
		data = c.t.out
	}
	if len(data) == 0 {
		return 0, nil
	}
	return c.Write(data)
}

// accept answers 101, and to the key of a WebSocket where the backend needed none.
func (c *http1Client) accept(h *msg.Head) (sent int, err error) {
	t := c.t
	h.Status, h.Reason = 101, msg.Span{}
	if t.key != nil {
		h.SetName(acceptName, acceptOf(t.key))
	}
	h.Add(msg.Connection, "Connection", []byte("Upgrade"))
	h.Set(msg.Upgrade, "Upgrade", t.upgrade)
	t.out = append(http1.AppendStatus(t.out[:0], 101, "Switching Protocols"), http1.AppendFields(nil, h)...)
	t.out = append(t.out, '\r', '\n')
	return c.Write(t.out)
}

// tunnel leaves the head of the request where it is, for the log and for whoever
// decides anew: the tunnel reads into a buffer of its own.
func (c *http1Client) tunnel() (tunnelEnd, []byte) {
	early := bytes.Clone(c.In.Bytes()[c.headBytes:])
	c.park()
	return connEnd{c.Conn}, early
}

func (c *http1Client) fault() *msg.Error { return nil }

func (c *http1Client) closeAfter() { c.keepAlive, c.session.linger = false, true }
func (c *http1Client) abort()      { c.keepAlive, c.session.linger = false, false }
func (c *http1Client) goesOn() bool {
	return c.keepAlive
}

func (c *http1Client) finish() {
	if c.pinned != nil {
		c.session.shard.pool.Put(c.pinned)
		c.pinned = nil
	} else if c.In != nil {
		c.In.Advance(c.headBytes + c.taken)
		if c.In.Len() == 0 {
			c.ReleaseIn()
		}
	}
}
