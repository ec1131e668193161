package http2

// output is what is to be written, and what a peer may have us write.
type output struct {
	cfg     Config
	handler Handler
	peer    peerSettings
	now     int64

	out           []byte
	queuedControl int // bytes in out, about
	budgets
}

// maxBlock bounds the bytes of one header block. Heads above the limit are
// still read to their end, since the next depend on what they say.
func (c *output) maxBlock() int { return 2*c.cfg.Limits.HeadBytes + maxFrame }

// Pending is how many bytes wait to be written.
func (c *output) Pending() int { return len(c.out) }

// Take hands the output over. spare, which is emptied, takes its place.
func (c *output) Take(spare []byte) []byte {
	out := c.out
	c.out, c.queuedControl = spare[:0], 0
	return out
}

// idleFrame accounts for a frame that moves nothing.
func (c *output) idleFrame() error {
	if !c.idle.Spend(c.now) {
		return broken(EnhanceYourCalm, "more frames without effect than anyone needs")
	}
	return nil
}

// control queues a frame that answers one of the peer's.
func (c *output) control(f frame, p []byte) {
	f.length = len(p)
	c.out = append(appendFrame(c.out, f), p...)
	c.queuedControl += frameHead + len(p)
}

// overControl reports whether the peer has asked for more answers than it reads.
func (c *output) overControl() bool { return c.queuedControl > maxControl }

// Ping asks for a sign of life.
func (c *output) Ping() { c.control(frame{kind: pingFrame}, []byte("windrose")) }

// TakesConnect reports whether the peer takes extended CONNECT (RFC 8441).
func (c *output) TakesConnect() bool { return c.peer.connect }

// Settled reports whether the peer's settings have come.
func (c *output) Settled() bool { return c.peer.received }
