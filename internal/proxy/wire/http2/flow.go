package http2

import "encoding/binary"

// flow handles flow control: both windows of the connection, and DATA frames.
type flow struct {
	table
	sendWindow, recvWindow int64
	unsaid                 int64 // received, and not yet sent as a WINDOW_UPDATE
}

// dataProgress is the rest of the current DATA frame.
type dataProgress struct {
	active  bool
	stream  *Stream // nil: the data is dropped
	left    int
	padding int
	end     bool
}

func (c *flow) readWindowUpdate(f frame, p []byte) error {
	if len(p) != 4 {
		return broken(FrameSizeError, "WINDOW_UPDATE of a length other than 4 (RFC 9113 §6.9)")
	}
	by := int64(binary.BigEndian.Uint32(p) & maxWindow)
	if f.stream == 0 {
		return c.widen(by)
	}
	if !c.wasOpened(f.stream) {
		return broken(ProtocolError, "WINDOW_UPDATE on an idle stream (RFC 9113 §5.1)")
	}
	s := c.streams[f.stream]
	switch {
	case s == nil:
		return nil // a client continues to read buffered data of a response that has ended
	case by == 0:
		return c.resetStream(s, ProtocolError, "WINDOW_UPDATE by nothing (RFC 9113 §6.9)")
	}
	if s.sendWindow += by; s.sendWindow > maxWindow {
		return c.resetStream(s, FlowControlError, "a window above the largest (RFC 9113 §6.9.1)")
	}
	c.handler.Window(s)
	return nil
}

// widen enlarges the connection's send window.
func (c *flow) widen(by int64) error {
	if by == 0 {
		return broken(ProtocolError, "WINDOW_UPDATE by nothing (RFC 9113 §6.9)")
	}
	if c.sendWindow += by; c.sendWindow > maxWindow {
		return broken(FlowControlError, "a window above the largest (RFC 9113 §6.9.1)")
	}
	c.handler.Window(nil)
	return nil
}

func (c *output) windowUpdate(id uint32, by int64) {
	c.out = appendFrame(c.out, frame{length: 4, kind: windowUpdateFrame, stream: id})
	c.out = binary.BigEndian.AppendUint32(c.out, uint32(by))
}

// beginData handles the header of a DATA frame; p begins with its payload. The whole
// payload counts against the windows at once.
func (c *flow) beginData(f frame, p []byte) (used int, more bool, err error) {
	d := dataProgress{active: true, left: f.length, end: f.has(flagEndStream)}
	used = frameHead
	if f.stream == 0 {
		return 0, false, broken(ProtocolError, "DATA on no stream (RFC 9113 §6.1)")
	}
	if f.has(flagPadded) {
		if f.length == 0 {
			return 0, false, broken(FrameSizeError, "padded DATA without a length of it (RFC 9113 §6.1)")
		}
		if len(p) == 0 {
			return 0, false, nil
		}
		if d.padding = int(p[0]); d.padding >= f.length {
			return 0, false, broken(ProtocolError, "more padding than payload (RFC 9113 §6.1)")
		}
		d.left -= 1 + d.padding
		used++
	}
	if err := c.receive(int64(f.length)); err != nil {
		return 0, false, err
	}
	if d.stream, err = c.dataStream(f, d.left); err != nil {
		return 0, false, err
	}
	if f.length == 0 && !d.end {
		if err := c.idleFrame(); err != nil {
			return 0, false, err
		}
	}
	if s := d.stream; s != nil {
		s.recvWindow -= int64(f.length)
		c.Consumed(s, int64(f.length-d.left), 0) // nobody else consumes the padding
	}
	c.data = d
	if d.left+d.padding == 0 {
		c.endData()
	}
	return used, true, nil
}

// receive counts n bytes against the connection's window, and opens it again: the
// windows of the streams bound what is buffered.
func (c *flow) receive(n int64) error {
	if n > c.recvWindow {
		return broken(FlowControlError, "more DATA than the connection's window (RFC 9113 §6.9.1)")
	}
	c.recvWindow -= n
	if c.unsaid += n; c.unsaid >= c.cfg.ConnWindow/2 {
		c.windowUpdate(0, c.unsaid)
		c.recvWindow += c.unsaid
		c.unsaid = 0
	}
	return nil
}

// dataStream returns the stream of a DATA frame with n bytes of body; nil if the data
// is to be dropped.
func (c *flow) dataStream(f frame, n int) (*Stream, error) {
	s := c.streams[f.stream]
	if s == nil {
		return nil, c.strayData(f.stream)
	}
	switch {
	case s.RecvEnded:
		return nil, c.resetStream(s, StreamClosed, "DATA behind the end of the stream (RFC 9113 §5.1)")
	case !s.final:
		return nil, c.resetStream(s, ProtocolError, "DATA before the answer's head (RFC 9113 §8.1)")
	case int64(f.length) > s.recvWindow:
		return nil, c.resetStream(s, FlowControlError, "more DATA than the stream's window (RFC 9113 §6.9.1)")
	}
	if s.got += int64(n); s.Length >= 0 && !s.noBody && (s.got > s.Length || f.has(flagEndStream) && s.got < s.Length) || s.noBody && n > 0 {
		return nil, c.resetStream(s, ProtocolError, "a body of another length than Content-Length says (RFC 9113 §8.1.1)")
	}
	return s, nil
}

// strayData handles DATA for a stream that is not open.
func (c *flow) strayData(id uint32) error {
	if !c.wasOpened(id) {
		return broken(ProtocolError, "DATA on an idle stream (RFC 9113 §5.1)")
	}
	if c.resetLately.has(id) {
		return nil // the connection's window bounds it, and beginData counts empty frames
	}
	return c.resetID(id, StreamClosed, "")
}

// readData passes what was received of a DATA frame to the handler.
func (c *flow) readData(p []byte) (used int) {
	d := &c.data
	if n := min(d.left, len(p)); n > 0 {
		d.left -= n
		used = n
		if s := d.stream; s != nil && !s.Dead {
			s.RecvEnded = d.end && d.left == 0
			c.handler.Data(s, p[:n])
			if s.RecvEnded {
				d.end = false
				c.settle(s)
			}
		}
	}
	if d.left == 0 {
		n := min(d.padding, len(p)-used)
		d.padding -= n
		used += n
	}
	if d.left+d.padding == 0 {
		c.endData()
	}
	return used
}

// endData ends a DATA frame. It also ends the stream if the frame says so and readData
// has not done so.
func (c *flow) endData() {
	d := c.data
	c.data = dataProgress{}
	if s := d.stream; s != nil && d.end && !s.Dead && !s.RecvEnded {
		c.endOfStream(s)
	}
}

func (c *flow) endOfStream(s *Stream) {
	s.RecvEnded = true
	c.handler.End(s)
	c.settle(s)
}

// Consumed opens the windows for n bytes of a body that were consumed, so that the peer
// may send more. The stream's window grows while the peer uses all of it, by at most
// mayGrow bytes. Consumed returns by how much it has grown.
func (c *flow) Consumed(s *Stream, n, mayGrow int64) (grew int64) {
	s.consumed += n
	s.grown += n
	if !s.open || s.RecvEnded || s.consumed < s.window/2 {
		return 0
	}
	if s.grown >= 2*s.window {
		grew = max(min(s.window, mayGrow, c.cfg.MaxStreamWindow-s.window), 0)
		s.window += grew
		s.grown = 0
	}
	by := s.consumed + grew
	s.consumed = 0
	s.recvWindow += by
	c.windowUpdate(s.ID, by)
	return grew
}

// Window returns the connection's send window.
func (c *flow) Window() int64 { return c.sendWindow }

// SendData queues as much of p as the windows and the output have room for, and returns
// that number of bytes. If end is true, the stream is ended once all of p is queued.
func (c *flow) SendData(s *Stream, p []byte, end bool) int {
	if !s.open || s.SentEnded {
		return 0
	}
	sent := 0
	for {
		n := int(min(int64(len(p)-sent), maxFrame, s.sendWindow, c.sendWindow, int64(c.cfg.MaxOut-len(c.out))))
		last := end && sent+max(n, 0) == len(p)
		if n <= 0 && !(last && len(p) == sent) {
			return sent
		}
		n = max(n, 0)
		f := frame{length: n, kind: dataFrame, stream: s.ID}
		if last {
			f.flags = flagEndStream
		}
		c.out = append(appendFrame(c.out, f), p[sent:sent+n]...)
		sent += n
		s.sendWindow -= int64(n)
		c.sendWindow -= int64(n)
		if last {
			c.endSent(s)
		}
		if sent == len(p) {
			return sent
		}
	}
}

func (c *flow) endSent(s *Stream) {
	s.SentEnded = true
	c.settle(s)
}
