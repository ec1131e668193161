package http2

import (
	"encoding/binary"
	"slices"

	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/reason"
)

// Stream is one request and its response. The owner of the Conn makes it, and releases
// it when it no longer uses it.
type Stream struct {
	// ID is the stream's number; 0 until it has one.
	ID uint32
	// Owner is for the owner's use.
	Owner any
	// Head is the request head, or the last response head. Its buffer belongs to the
	// Stream.
	Head msg.Head
	// Fault is the limit that the head of a request exceeds, or nil. Broken is the rule
	// because of which the stream was reset after its head was received, or nil.
	Fault, Broken *msg.Error
	// Protocol is the :protocol of an extended CONNECT (RFC 8441), whose method is
	// given as GET.
	Protocol string
	// Length is the value of Content-Length, or -1.
	Length int64
	// Trailer has the checked lines of the trailer section, each with its CRLF.
	Trailer []byte
	// RecvEnded reports that the peer has ended its side, SentEnded that we have ended
	// ours, and Dead that the stream was reset or its connection ended.
	RecvEnded, SentEnded, Dead bool

	open    bool  // in the Conn's table
	counted bool  // in Conn.active
	final   bool  // the final response head was received; true for requests from the start
	noBody  bool  // the response has no body, whatever its Content-Length is
	got     int64 // bytes of the body

	sendWindow, recvWindow int64
	window                 int64 // the receive window is filled up to this size
	consumed               int64 // and not yet sent as a WINDOW_UPDATE
	grown                  int64 // consumed since the window last grew
}

// Bodiless reports whether the response has no body, whatever its Content-Length is:
// because it responds to HEAD, or because of its status (RFC 9110 §6.4.1).
func (s *Stream) Bodiless() bool { return s.noBody }

// Reset empties s for another stream and keeps its memory.
func (s *Stream) Reset() {
	s.clearHead()
	*s = Stream{Head: s.Head, Trailer: s.Trailer[:0], Owner: s.Owner}
}

// clearHead empties the head and keeps its buffer.
func (s *Stream) clearHead() {
	buf := s.Head.Buf[:0]
	s.Head.Reset()
	s.Head.Buf = buf
}

// Window returns the stream's send window.
func (s *Stream) Window() int64 { return s.sendWindow }

// table has the streams of a connection, and remembers which have ended.
type table struct {
	output
	streams map[uint32]*Stream
	// active counts the streams that have neither ended normally nor been released. A
	// stream that was reset counts until its owner releases it.
	active   uint32
	lastPeer uint32 // highest id of a stream that the peer opened
	nextOwn  uint32 // id of the next stream that we open
	// Frames for streams that we have reset are expected: the peer may have sent them
	// before it knew. Frames for other streams that have ended break a rule.
	resetLately, endedLately lately

	// data and block are the current DATA frame and header block.
	data  dataProgress
	block block

	leaving  bool   // we have sent a GOAWAY
	lastSaid uint32 // with this id
	left     bool   // the peer has sent a GOAWAY
	failed   error
}

// peerOpens reports whether streams with that id are opened by the peer.
func (c *table) peerOpens(id uint32) bool { return (id%2 == 1) == c.cfg.Server }

// wasOpened reports whether a stream with that id is or was open.
func (c *table) wasOpened(id uint32) bool {
	if c.peerOpens(id) {
		return id <= c.lastPeer
	}
	return id < c.nextOwn
}

func (c *table) insert(s *Stream, id uint32) {
	s.ID, s.open, s.counted = id, true, true
	s.sendWindow, s.recvWindow, s.window = c.peer.window, c.cfg.StreamWindow, c.cfg.StreamWindow
	s.Length = -1
	c.streams[id] = s
	c.active++
}

// NewStream opens a stream for a request of ours. It returns false if the peer accepts
// no more, at present or ever.
func (c *table) NewStream(s *Stream) bool {
	if !c.Room(0) {
		return false
	}
	c.insert(s, c.nextOwn)
	c.nextOwn += 2
	return true
}

// Room reports whether NewStream would succeed after that many other streams.
func (c *table) Room(others int) bool {
	return c.failed == nil && !c.left && uint32(len(c.streams)+others) < min(c.peer.streams, c.cfg.MaxStreams) && c.nextOwn < maxWindow
}

// Release tells the Conn that the owner no longer uses s. If s is still open, it is
// reset.
func (c *table) Release(s *Stream) {
	if s.open {
		c.Cancel(s, Cancel)
	}
	c.discount(s)
}

// discount ends the counting of a stream in active.
func (c *table) discount(s *Stream) {
	if s.counted {
		s.counted = false
		c.active--
	}
}

// settle removes a stream from the table once both sides have ended it.
func (c *table) settle(s *Stream) {
	if !s.RecvEnded || !s.SentEnded || !s.open {
		return
	}
	c.remove(s, false)
	c.discount(s) // the peer may open another at once (RFC 9113 §5.1.2), before our owner knows
	c.resets.Repay(1)
	c.idle.Repay(lateFrames)
}

// remove removes a stream from the table. ours says that we have reset it. Anything
// that still arrives for it is dropped: its owner may reuse s for another stream.
func (c *table) remove(s *Stream, ours bool) {
	s.open = false
	delete(c.streams, s.ID)
	if c.data.stream == s {
		c.data.stream = nil
	}
	if c.block.stream == s {
		c.block.stream = nil
	}
	if ours {
		c.resetLately.add(s.ID)
	} else {
		c.endedLately.add(s.ID)
	}
}

// drop ends a stream, and tells its owner.
func (c *table) drop(s *Stream, ours bool, code ErrorCode, text string) {
	c.remove(s, ours)
	s.Dead = true
	c.handler.Reset(s, code, text)
}

// Cancel resets a stream on behalf of its owner.
func (c *table) Cancel(s *Stream, code ErrorCode) {
	if !s.open {
		return
	}
	c.remove(s, true)
	s.Dead = true
	c.sendReset(s.ID, code)
}

func (c *table) sendReset(id uint32, code ErrorCode) {
	c.control(frame{kind: resetFrame, stream: id}, binary.BigEndian.AppendUint32(nil, uint32(code)))
}

// resetStream resets a stream because the peer broke a rule.
func (c *table) resetStream(s *Stream, code ErrorCode, text string) error {
	s.Broken = &msg.Error{Outcome: reason.BadRequest, Text: text}
	c.sendReset(s.ID, code)
	c.drop(s, true, code, text)
	return c.spendReset()
}

// resetID resets the stream with that id, whether it is open or not.
func (c *table) resetID(id uint32, code ErrorCode, text string) error {
	if s := c.streams[id]; s != nil {
		return c.resetStream(s, code, text)
	}
	c.sendReset(id, code)
	return c.spendReset()
}

// spendReset charges the budget for a stream that ended by a reset. A backend may reset
// any number of streams: we open them, so it cannot flood us.
func (c *table) spendReset() error {
	if c.cfg.Server && !c.resets.Spend(c.now) || c.overControl() {
		return broken(EnhanceYourCalm, "more streams that end in a reset than anyone needs")
	}
	return nil
}

func (c *table) readReset(f frame, p []byte) error {
	switch {
	case f.stream == 0:
		return broken(ProtocolError, "RST_STREAM on no stream (RFC 9113 §6.4)")
	case len(p) != 4:
		return broken(FrameSizeError, "RST_STREAM of a length other than 4 (RFC 9113 §6.4)")
	case !c.wasOpened(f.stream):
		return broken(ProtocolError, "RST_STREAM on an idle stream (RFC 9113 §6.4)")
	}
	s := c.streams[f.stream]
	if s == nil {
		return c.idleFrame()
	}
	c.drop(s, false, ErrorCode(binary.BigEndian.Uint32(p)), "the peer reset it")
	return c.spendReset()
}

// lately remembers the last streams that ended.
type lately struct {
	ids  []uint32
	next int
}

// add adds a stream, in place of the oldest one if there are keptLately.
func (l *lately) add(id uint32) {
	if len(l.ids) < keptLately {
		l.ids = append(l.ids, id)
		return
	}
	l.ids[l.next%keptLately] = id
	l.next++
}

func (l *lately) has(id uint32) bool { return slices.Contains(l.ids, id) }

// keptLately is the number of streams that are remembered: twice the default limit of
// concurrent streams.
const keptLately = 256
