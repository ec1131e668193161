package http2

import (
	"golang.org/x/net/http2/hpack"

	"windrose.dev/windrose/internal/proxy/wire/section"
)

// heads handles the header blocks of a connection, in both directions.
type heads struct {
	flow
	decoder *hpack.Decoder
	scratch []byte // the header block that is being sent
	started bool   // a header block was sent
}

// block is the header block that is being read. There is one at a time.
type block struct {
	open   bool
	id     uint32
	stream *Stream // nil: it is decoded only to update the decoder's state
	end    bool    // the stream ends after it
	frames int
	bytes  int
	section.Section
}

func (c *heads) readHeaders(f frame, p []byte) error {
	if f.stream == 0 {
		return broken(ProtocolError, "HEADERS on no stream (RFC 9113 §6.2)")
	}
	p, selfish, err := cutHeaders(f, p)
	if err != nil {
		return err
	}
	b := &c.block
	*b = block{open: true, id: f.stream, end: f.has(flagEndStream)}
	if err := c.beginBlock(b); err != nil {
		return err
	}
	if selfish {
		b.Malformed = "a stream that depends on itself (RFC 7540 §5.3.1)"
	}
	return c.readFragment(f, p)
}

// cutHeaders removes padding and priority from a HEADERS frame.
func cutHeaders(f frame, p []byte) (fragment []byte, selfish bool, err error) {
	padding := 0
	if f.has(flagPadded) {
		if len(p) == 0 {
			return nil, false, broken(FrameSizeError, "padded HEADERS without a length of it (RFC 9113 §6.2)")
		}
		padding, p = int(p[0]), p[1:]
	}
	if f.has(flagPriority) {
		if len(p) < 5 {
			return nil, false, broken(FrameSizeError, "HEADERS too short for its priority (RFC 9113 §6.2)")
		}
		selfish, p = dependsOnItself(f.stream, p), p[5:]
	}
	if padding > len(p) {
		return nil, false, broken(ProtocolError, "more padding than payload (RFC 9113 §6.2)")
	}
	return p[:len(p)-padding], selfish, nil
}

// beginBlock decides what the header block belongs to.
func (c *heads) beginBlock(b *block) error {
	c.decoder.SetEmitEnabled(true)
	s := c.streams[b.id]
	switch {
	case s != nil && s.RecvEnded:
		c.decoder.SetEmitEnabled(false)
		return c.resetStream(s, StreamClosed, "HEADERS behind the end of the stream (RFC 9113 §5.1)")
	case s != nil && s.final:
		c.beginSection(b, s, section.Trailer)
		return nil
	case s != nil:
		s.clearHead()
		c.beginSection(b, s, section.Response)
		return nil
	case !c.peerOpens(b.id):
		return c.strayBlock(b)
	case b.id <= c.lastPeer:
		return c.lateBlock(b)
	}
	return c.openStream(b)
}

// strayBlock handles a header block on a stream that only we may open.
func (c *heads) strayBlock(b *block) error {
	if !c.wasOpened(b.id) || c.cfg.Server {
		return broken(ProtocolError, "HEADERS on a stream that is ours to open (RFC 9113 §5.1.1)")
	}
	c.decoder.SetEmitEnabled(false) // a late response on a stream that we have reset
	return c.idleFrame()
}

// lateBlock handles a header block on a stream that the peer has opened before. If we
// have reset that stream, the peer may not know yet.
func (c *heads) lateBlock(b *block) error {
	switch {
	case c.resetLately.has(b.id):
		c.decoder.SetEmitEnabled(false)
		return c.idleFrame()
	case c.endedLately.has(b.id):
		return broken(StreamClosed, "HEADERS on a stream that is over (RFC 9113 §5.1)")
	}
	return broken(ProtocolError, "a stream whose number is not above the last (RFC 9113 §5.1.1)")
}

// openStream opens a stream for a request, or rejects it.
func (c *heads) openStream(b *block) error {
	c.lastPeer = b.id
	switch {
	case c.leaving && b.id > c.lastSaid:
		c.decoder.SetEmitEnabled(false) // ignored (RFC 9113 §6.8)
		c.resetLately.add(b.id)
		return c.idleFrame()
	case c.active >= c.cfg.MaxStreams || c.handler.Full():
		c.decoder.SetEmitEnabled(false)
		c.resetLately.add(b.id)
		c.sendReset(b.id, RefusedStream)
		c.handler.Denied()
		return c.spendReset()
	}
	s := c.handler.Open()
	c.insert(s, b.id)
	c.beginSection(b, s, section.Request)
	return nil
}

func (c *heads) beginSection(b *block, s *Stream, kind section.Kind) {
	b.stream = s
	b.Section = section.Section{
		Kind: kind, Limits: &c.cfg.Limits, Head: &s.Head, Lines: s.Trailer, Length: s.Length, Protocols: true,
	}
}

func (c *heads) readContinuation(f frame, p []byte) error {
	if len(p) == 0 {
		if err := c.idleFrame(); err != nil {
			return err
		}
	}
	return c.readFragment(f, p)
}

// readFragment decodes a part of the header block.
func (c *heads) readFragment(f frame, p []byte) error {
	b := &c.block
	b.frames++
	b.bytes += len(p)
	if b.frames > maxContinuations || b.bytes > c.maxBlock() {
		return broken(EnhanceYourCalm, "a header block that does not end")
	}
	if _, err := c.decoder.Write(p); err != nil {
		return broken(CompressionError, "a header block that cannot be decoded (RFC 7541)")
	}
	if !f.has(flagEndHeaders) {
		return nil
	}
	b.open = false
	if err := c.decoder.Close(); err != nil {
		return broken(CompressionError, "a header block that ends within a field (RFC 7541)")
	}
	return c.endBlock(b)
}

// endBlock passes the complete head or trailer section to the handler.
func (c *heads) endBlock(b *block) error {
	s := b.stream
	b.stream = nil
	if s == nil || s.Dead {
		return nil
	}
	if c.check(b, s); b.Malformed != "" {
		return c.malformed(b, s)
	}
	switch {
	case b.Kind == section.Trailer:
		c.endOfStream(s)
		return nil
	case b.Kind == section.Response && s.Head.Status < 200:
		c.handler.Head(s)
		return nil
	}
	s.Fault, s.final, s.RecvEnded = b.Fault, true, b.end
	c.handler.Head(s)
	c.settle(s)
	return nil
}

// malformed resets a stream whose header section breaks a rule (RFC 9113 §8.1.1).
func (c *heads) malformed(b *block, s *Stream) error {
	if b.Kind != section.Request {
		return c.resetStream(s, ProtocolError, b.Malformed)
	}
	c.remove(s, true)
	s.Dead = true
	c.Release(s)
	c.sendReset(s.ID, ProtocolError)
	c.handler.Refused(s, b.Malformed)
	return c.spendReset()
}

// emit receives one field from the decoder. When no more fields are of interest, the
// rest is decoded only to update the decoder's state.
func (c *heads) emit(f hpack.HeaderField) {
	if b := &c.block; b.stream == nil || !b.Add(f.Name, f.Value) {
		c.decoder.SetEmitEnabled(false)
	}
}
