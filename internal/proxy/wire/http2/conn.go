package http2

import (
	"encoding/binary"

	"golang.org/x/net/http2/hpack"

	"windrose.dev/windrose/internal/proxy/msg"
)

// Config is the configuration of a Conn.
type Config struct {
	// Server reports whether we are the server.
	Server bool
	// Limits bounds header sections. MaxStreams bounds the concurrent streams that a
	// client, or we as the client, may open.
	Limits     msg.Limits
	MaxStreams uint32
	// StreamWindow is the initial window of a stream: how much of a body may be
	// received before it is consumed, in bytes. ConnWindow is the window of the
	// connection. It is opened again as data is received, whether that is consumed or
	// not.
	StreamWindow, ConnWindow int64
	// MaxStreamWindow is the size up to which a stream's window grows.
	MaxStreamWindow int64
	// MaxOut bounds the body data that waits in the output, in bytes.
	MaxOut int
}

// Handler receives the events of Read. Its methods are called by Read, and may call the
// Conn.
type Handler interface {
	// Full reports whether there is no memory for another request, which is then
	// rejected.
	Full() bool
	// Open returns the Stream for a new request; server only. The caller may set its
	// Owner.
	Open() *Stream
	// Head is called when s.Head is complete. If s.Fault is set, which is so only on
	// the server, the request exceeds a limit and should get a response. If s.RecvEnded
	// is set, there is no body.
	Head(s *Stream)
	// Data is called for a part of the body. If s.RecvEnded is set, it is the last
	// part.
	Data(s *Stream, p []byte)
	// End is called when the body ends without another part. s.Trailer may have lines.
	End(s *Stream)
	// Reset is called when the stream ends prematurely: the peer has reset it or broken
	// a rule, or the connection ends.
	Reset(s *Stream, code ErrorCode, text string)
	// Refused is called for a malformed request. s was reset before Head was called for
	// it, and is released. text is the reason.
	Refused(s *Stream, text string)
	// Denied is called when a request is rejected because of the limit on streams or
	// memory.
	Denied()
	// Window is called when more may be sent on s, or, if s is nil, on all streams.
	Window(s *Stream)
	// Settled is called when the peer's settings are received or change.
	Settled()
	// Leaving is called when the peer accepts no more streams. Streams above last were
	// not processed, and are reset with RefusedStream.
	Leaving(last uint32, code ErrorCode)
}

// Conn is the state of one connection. It is not safe for concurrent use.
//
// It has four layers, each of which uses only those below it: output and budgets; the
// table of streams; flow control and DATA; header blocks, in both directions.
type Conn struct {
	heads
	prefaced bool // the client's preface was received
}

// NewConn returns a connection whose output has its first frames.
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

// Read decodes p and returns how many bytes it has used. The rest is the beginning of a
// frame: it must be passed again, followed by the next bytes. now is in nanoseconds.
// After an error, which is a *ConnError, the connection must be closed once the output
// was written.
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

// step handles one frame, or a part of a DATA frame. more is false if p has no complete
// frame.
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

// admit checks the rules for all frames.
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
	return c.idleFrame() // unknown types are ignored (RFC 9113 §4.1)
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

// wrongPriority resets a stream. An idle stream cannot be reset: then the connection
// ends (RFC 9113 §5.4.2).
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

// GoAway sends GOAWAY, so that the peer opens no more streams. While final is false,
// streams that the peer has already sent are still accepted (RFC 9113 §6.8).
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

// fail ends the connection with a GOAWAY.
func (c *Conn) fail(err *ConnError) {
	c.failed = err
	c.leaving = false // send this GOAWAY in any case
	c.GoAway(err.Code, true)
	c.End(err.Code, err.Text)
}

// End ends all streams for their owners. It sends nothing: the connection ends.
func (c *table) End(code ErrorCode, text string) {
	for _, s := range c.streams {
		c.drop(s, true, code, text)
	}
}

// Streams returns the number of streams that have neither ended nor been reset.
func (c *table) Streams() int { return len(c.streams) }

// InHead reports whether a header block has begun and not ended.
func (c *Conn) InHead() bool { return c.block.open }
