package http2

import (
	"encoding/binary"

	"golang.org/x/net/http2/hpack"

	"windrose.dev/windrose/internal/proxy/msg"
)

// Config is what a Conn needs.
type Config struct {
	// Server is our side.
	Server bool
	// Limits bounds heads, MaxStreams the streams that a client, or we, may have
	// open.
	Limits     msg.Limits
	MaxStreams uint32
	// StreamWindow is how much of a body may come before it is consumed, in
	// bytes; ConnWindow the same for all streams of the connection, counted as
	// it comes, whether it is consumed or not.
	StreamWindow, ConnWindow int64
	// MaxStreamWindow is up to where a stream's window grows with use.
	MaxStreamWindow int64
	// MaxOut bounds the bodies that wait in the output, in bytes.
	MaxOut int
}

// Handler takes what Read finds. Its methods are called from within Read, and
// may call back into the Conn.
type Handler interface {
	// Full tells that there is no memory for another request, which is then refused.
	Full() bool
	// Open returns the Stream for a request that begins; server only. Its Owner
	// is the caller's to set.
	Open() *Stream
	// Head tells that s.Head is complete. On the server with s.Fault set the
	// request breaks a limit, and is to be answered. s.RecvEnded tells that there
	// is no body.
	Head(s *Stream)
	// Data brings a part of the body. s.RecvEnded tells that it was the last.
	Data(s *Stream, p []byte)
	// End tells that the body is over without another part; s.Trailer may have
	// lines.
	End(s *Stream)
	// Reset tells that the stream has ended before its time: the peer has reset
	// it, or broke a rule, or the connection goes.
	Reset(s *Stream, code ErrorCode, text string)
	// Refused tells that a request was malformed: s was reset before it had become
	// one, and is released. text says why.
	Refused(s *Stream, text string)
	// Denied tells that a request was refused because there is no room for it.
	Denied()
	// Window tells that more may be sent on s, or, for nil, on all streams.
	Window(s *Stream)
	// Settled tells that the peer's settings have come or changed.
	Settled()
	// Leaving tells that the peer takes no more streams. Those above last were
	// not looked at: they have been reset with RefusedStream.
	Leaving(last uint32, code ErrorCode)
}

// Conn is the state of one connection. It is not safe for concurrent use.
//
// It has four layers, each of which uses those below it only: the output with its
// budgets; the table of streams; flow control and DATA; header blocks, both ways.
type Conn struct {
	heads
	prefaced bool // the client's preface was read
}

// NewConn begins a connection: its output holds what is said first.
func NewConn(cfg Config, handler Handler, now int64) *Conn {
	c := &Conn{prefaced: !cfg.Server}
	c.output = output{cfg: cfg, handler: handler, peer: newPeerSettings(), now: now, budgets: newBudgets(now)}
	c.streams, c.nextOwn = map[uint32]*Stream{}, 1
	c.sendWindow, c.recvWindow = firstWindow, firstWindow
	c.decoder = hpack.NewDecoder(4096, c.emit)
	c.decoder.SetMaxStringLength(2 * c.maxBlock())
	if !cfg.Server {
		c.out = append(c.out, Preface...)
	}
	c.appendSettings()
	if grow := cfg.ConnWindow - firstWindow; grow > 0 {
		c.windowUpdate(0, grow)
		c.recvWindow += grow
	}
	return c
}

// Read decodes what came and returns how much of it was used: the rest is the
// beginning of a frame, and belongs before what comes next. now is in
// nanoseconds. After an error, a *ConnError, the connection is to be closed
// once the output was written.
func (c *Conn) Read(p []byte, now int64) (used int, err error) {
	c.now = now
	for c.failed == nil {
		n, more, err := c.step(p[used:])
		used += n
		if err != nil {
			c.fail(err.(*ConnError))
			break
		}
		if !more {
			break
		}
	}
	return used, c.failed
}

// step takes one frame, or a part of a DATA frame. more is false when p has no
// whole one.
func (c *Conn) step(p []byte) (used int, more bool, err error) {
	if !c.prefaced {
		return c.readPreface(p)
	}
	if c.data.active {
		used := c.readData(p)
		return used, used > 0, nil
	}
	if len(p) < frameHead {
		return 0, false, nil
	}
	f := readFrame(p)
	if err := c.admit(f); err != nil {
		return 0, false, err
	}
	p = p[frameHead:]
	if f.kind == dataFrame {
		return c.beginData(f, p)
	}
	if len(p) < f.length {
		return 0, false, nil
	}
	return frameHead + f.length, true, c.dispatch(f, p[:f.length])
}

func (c *Conn) readPreface(p []byte) (used int, more bool, err error) {
	n := min(len(p), len(Preface))
	if string(p[:n]) != Preface[:n] {
		return 0, false, broken(ProtocolError, "not the preface of HTTP/2 (RFC 9113 §3.4)")
	}
	if n < len(Preface) {
		return 0, false, nil
	}
	c.prefaced = true
	return n, true, nil
}

// admit checks what holds for every frame.
func (c *Conn) admit(f frame) error {
	switch {
	case f.length > maxFrame:
		return broken(FrameSizeError, "a frame above the largest (RFC 9113 §4.2)")
	case !c.peer.received && f.kind != settingsFrame:
		return broken(ProtocolError, "a first frame other than SETTINGS (RFC 9113 §3.4)")
	case c.block.open && (f.kind != continuationFrame || f.stream != c.block.id):
		return broken(ProtocolError, "a frame within a header block (RFC 9113 §4.3)")
	case !c.block.open && f.kind == continuationFrame:
		return broken(ProtocolError, "CONTINUATION outside of a header block (RFC 9113 §6.10)")
	}
	return nil
}

func (c *Conn) dispatch(f frame, p []byte) error {
	switch f.kind {
	case headersFrame:
		return c.readHeaders(f, p)
	case continuationFrame:
		return c.readContinuation(f, p)
	case priorityFrame:
		return c.readPriority(f, p)
	case resetFrame:
		return c.readReset(f, p)
	case settingsFrame:
		return c.readSettings(f, p)
	case pushPromiseFrame:
		return broken(ProtocolError, "PUSH_PROMISE, which nobody allowed (RFC 9113 §8.4)")
	case pingFrame:
		return c.readPing(f, p)
	case goAwayFrame:
		return c.readGoAway(f, p)
	case windowUpdateFrame:
		return c.readWindowUpdate(f, p)
	}
	return c.idleFrame() // RFC 9113 §4.1: unknown types are ignored
}

func (c *Conn) readPing(f frame, p []byte) error {
	switch {
	case f.stream != 0:
		return broken(ProtocolError, "PING on a stream (RFC 9113 §6.7)")
	case len(p) != 8:
		return broken(FrameSizeError, "PING of a length other than 8 (RFC 9113 §6.7)")
	case f.has(flagAck):
		return c.idleFrame()
	case !c.pings.Spend(c.now) || c.overControl():
		return broken(EnhanceYourCalm, "more PINGs than anyone needs")
	}
	c.control(frame{kind: pingFrame, flags: flagAck}, p)
	return nil
}

func (c *table) readPriority(f frame, p []byte) error {
	switch {
	case f.stream == 0:
		return broken(ProtocolError, "PRIORITY on no stream (RFC 9113 §6.3)")
	case len(p) != 5:
		return c.wrongPriority(f.stream, FrameSizeError, "PRIORITY of a length other than 5 (RFC 9113 §6.3)")
	case dependsOnItself(f.stream, p):
		return c.wrongPriority(f.stream, ProtocolError, "a stream that depends on itself (RFC 7540 §5.3.1)")
	}
	return c.idleFrame()
}

// wrongPriority resets a stream. One that is idle cannot be: then it is the
// connection that ends (RFC 9113 §5.4.2).
func (c *table) wrongPriority(id uint32, code ErrorCode, text string) error {
	if !c.wasOpened(id) {
		return broken(code, text)
	}
	return c.resetID(id, code, text)
}

func dependsOnItself(id uint32, priority []byte) bool {
	return binary.BigEndian.Uint32(priority)&maxWindow == id
}

func (c *table) readGoAway(f frame, p []byte) error {
	switch {
	case f.stream != 0:
		return broken(ProtocolError, "GOAWAY on a stream (RFC 9113 §6.8)")
	case len(p) < 8:
		return broken(FrameSizeError, "GOAWAY that is too short (RFC 9113 §6.8)")
	}
	last, code := binary.BigEndian.Uint32(p)&maxWindow, ErrorCode(binary.BigEndian.Uint32(p[4:]))
	c.left = true
	for id, s := range c.streams {
		if !c.peerOpens(id) && id > last {
			c.drop(s, false, RefusedStream, "the peer leaves and has not looked at it")
		}
	}
	c.handler.Leaving(last, code)
	return c.idleFrame()
}

// GoAway tells the peer to open no more streams. While final is false those
// that are on their way are still taken (RFC 9113 §6.8).
func (c *table) GoAway(code ErrorCode, final bool) {
	last := uint32(maxWindow)
	if final {
		last = c.lastPeer
	}
	if c.leaving && last >= c.lastSaid {
		return
	}
	c.leaving, c.lastSaid = true, last
	p := binary.BigEndian.AppendUint32(nil, last)
	c.control(frame{kind: goAwayFrame}, binary.BigEndian.AppendUint32(p, uint32(code)))
}

// fail ends everything.
func (c *Conn) fail(err *ConnError) {
	c.failed = err
	c.leaving = false // whatever was said before, this is said
	c.GoAway(err.Code, true)
	c.End(err.Code, err.Text)
}

// End resets all streams, for their owners alone: the connection goes.
func (c *table) End(code ErrorCode, text string) {
	for _, s := range c.streams {
		c.drop(s, true, code, text)
	}
}

// Streams is the number of streams that have neither ended nor been reset.
func (c *table) Streams() int { return len(c.streams) }

// InHead reports whether a header block has begun and not ended.
func (c *Conn) InHead() bool { return c.block.open }
