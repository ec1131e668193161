package http2

// output is the bytes to be written, and the budgets for what a peer may make us write.
type output struct {
	cfg     Config
	handler Handler
	peer    peerSettings
	now     int64

	out           []byte
	queuedControl int // approximate bytes of control frames in out
	budgets
}

// maxBlock bounds the bytes of one header block. Blocks above the limit are still
// decoded to their end, because later blocks depend on the decoder's state.
func (c *output) maxBlock() int { return 2*c.cfg.Limits.HeadBytes + maxFrame }

// Pending returns the number of bytes that wait to be written.
func (c *output) Pending() int { return len(c.out) }

// Take returns the output. spare, emptied, becomes the new output buffer.
func (c *output) Take(spare []byte) []byte {
	out := c.out
	c.out, c.queuedControl = spare[:0], 0
	return out
}

// idleFrame charges the budget for frames that do no work.
func (c *output) idleFrame() error {
	if !c.idle.Spend(c.now) {
		return broken(EnhanceYourCalm, "more frames without effect than anyone needs")
	}
	return nil
}

// control queues a frame that the peer has caused.
func (c *output) control(f frame, p []byte) {
	f.length = len(p)
	c.out = append(appendFrame(c.out, f), p...)
	c.queuedControl += frameHead + len(p)
}

// overControl reports whether too many control frames wait for a peer that does not
// read them.
func (c *output) overControl() bool { return c.queuedControl > maxControl }

// Ping sends a PING.
func (c *output) Ping() { c.control(frame{kind: pingFrame}, []byte("windrose")) }

// TakesConnect reports whether the peer supports extended CONNECT (RFC 8441).
func (c *output) TakesConnect() bool { return c.peer.connect }

// Settled reports whether the peer's SETTINGS were received.
func (c *output) Settled() bool { return c.peer.received }
