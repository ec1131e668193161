package http2

import (
	"encoding/binary"
	"slices"

	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/reason"
)

// Stream is one request and its answer. The owner of the Conn makes it, and
// releases it when it is done with it.
type Stream struct {
	// ID is the stream's number; 0 until it has one.
	ID uint32
	// Owner is whatever the owner wants to find again.
	Owner any
	// Head is the request or the answer that came last. Its buffer belongs to
	// the Stream.
	Head msg.Head
	// Fault is how a request's head breaks a limit; nil when it does not. Broken is
	// the rule for which a stream was reset, after its head had come.
	Fault, Broken *msg.Error
	// Protocol is that of an extended CONNECT (RFC 8441), whose method then reads
	// GET.
	Protocol string
	// Length is what Content-Length says, or -1.
	Length int64
	// Trailer has the trailer section's lines, each with its CRLF, checked.
	Trailer []byte
	// RecvEnded tells that nothing more comes, SentEnded that nothing more may
	// be sent; Dead that the stream was reset, or went with its connection.
	RecvEnded, SentEnded, Dead bool

	open    bool  // in the Conn's table
	counted bool  // in Conn.active
	final   bool  // a final answer has come; requests are final at once
	noBody  bool  // the answer has none, whatever its length says
	got     int64 // bytes of the body

	sendWindow, recvWindow int64
	window                 int64 // what the receive window is filled up to
	consumed               int64 // and not yet given back
	grown                  int64 // consumed since the window last grew
}

// Bodiless tells that the answer has no body, whatever its length says: it is to
// HEAD, or its status has none (RFC 9110 §6.4.1).
func (s *Stream) Bodiless() bool { return s.noBody }

// Reset empties s for another stream and keeps its memory.
func (s *Stream) Reset() {
	s.clearHead()
	*s = Stream{Head: s.Head, Trailer: s.Trailer[:0], Owner: s.Owner}
}

// clearHead makes room for another head in the same buffer.
func (s *Stream) clearHead() {
	buf := s.Head.Buf[:0]
	s.Head.Reset()
	s.Head.Buf = buf
}

// Window is how much DATA the other side has room for.
func (s *Stream) Window() int64 { return s.sendWindow }

// table is the streams of a connection, and what has become of those before them.
type table struct {
	output
	streams map[uint32]*Stream
	// active counts the streams that have neither ended well nor been released: reset
	// ones cost until their owner is done with them.
	active   uint32
	lastPeer uint32 // highest id of a stream that the peer opened
	nextOwn  uint32 // id of the next stream that we open
	// What comes for streams that we have reset was mostly sent before the peer
	// knew; what comes for others that have ended breaks a rule.
	resetLately, endedLately lately

	// data and block are what is being read, each for one stream.
	data  dataProgress
	block block

	leaving  bool   // we have said GOAWAY
	lastSaid uint32 // with this id
	left     bool   // the peer has
	failed   error
}

// peerOpens reports whether streams with that id are the peer's to open.
func (c *table) peerOpens(id uint32) bool { return (id%2 == 1) == c.cfg.Server }

// wasOpened reports whether a stream of that id is open or has been.
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

// NewStream opens a stream for a request of ours. It returns false when the peer
// takes no more, for now or for good.
func (c *table) NewStream(s *Stream) bool {
	if !c.Room(0) {
		return false
	}
	c.insert(s, c.nextOwn)
	c.nextOwn += 2
	return true
}

// Room reports whether NewStream would succeed after so many others.
func (c *table) Room(others int) bool {
	return c.failed == nil && !c.left && uint32(len(c.streams)+others) < min(c.peer.streams, c.cfg.MaxStreams) && c.nextOwn < maxWindow
}

// Release tells that the owner is done with s. One that is still open is
// reset.
func (c *table) Release(s *Stream) {
	if s.open {
		c.Cancel(s, Cancel)
	}
	c.discount(s)
}

// discount has a stream count no more among those that there may be at a time.
func (c *table) discount(s *Stream) {
	if s.counted {
		s.counted = false
		c.active--
	}
}

// settle takes a stream out of the table once both sides have ended it.
func (c *table) settle(s *Stream) {
	if !s.RecvEnded || !s.SentEnded || !s.open {
		return
	}
	c.remove(s, false)
	c.discount(s) // the peer may open another at once (RFC 9113 §5.1.2), before our owner knows
	c.resets.Repay(1)
	c.idle.Repay(lateFrames)
}

// remove takes a stream out of the table. ours tells that we have reset it. What
// is still coming for it is for nobody: its owner may use s for another stream.
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

// drop ends a stream for its owner.
func (c *table) drop(s *Stream, ours bool, code ErrorCode, text string) {
	c.remove(s, ours)
	s.Dead = true
	c.handler.Reset(s, code, text)
}

// Cancel resets a stream, because its owner wants so.
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

// resetID resets the stream of that id, whether it is open or not.
func (c *table) resetID(id uint32, code ErrorCode, text string) error {
	if s := c.streams[id]; s != nil {
		return c.resetStream(s, code, text)
	}
	c.sendReset(id, code)
	return c.spendReset()
}

// spendReset accounts for a stream that ended in a reset. A backend may reset
// what it is sent: that is no flood, since we open the streams.
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

// lately remembers the streams that were the last to end.
type lately struct {
	ids  []uint32
	next int
}

// add takes the place of the oldest once there are as many as are kept.
func (l *lately) add(id uint32) {
	if len(l.ids) < keptLately {
		l.ids = append(l.ids, id)
		return
	}
	l.ids[l.next%keptLately] = id
	l.next++
}

func (l *lately) has(id uint32) bool { return slices.Contains(l.ids, id) }

// keptLately is how many streams are remembered: twice as many as a client may
// have open by default.
const keptLately = 256
