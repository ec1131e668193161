package sock

import (
	"math"
	"net"
	"syscall"
	"time"
)

// Conn is a connection to a client or a backend. One goroutine reads; one goroutine,
// the same or another, writes.
type Conn struct {
	// In holds what was read and not yet used; it may be nil when that is nothing. When
	// it is empty it may be given back to the pool with ReleaseIn.
	In *Buffer

	net   net.Conn
	base  net.Conn        // the connection that was wrapped, below TLS
	raw   syscall.RawConn // of base; nil unless base is TCP
	plain bool            // net is base, and raw is not nil
	clock *Clock
	pool  *Pool

	// For a TLS session over the connection; see tls.go.
	lower   *lower
	records *records
	space   []byte

	readUntil, writeUntil int64 // the deadlines that are set

	// Arguments and results of the raw callbacks. The callbacks are made once per
	// connection: a closure made for each call would be an allocation for each call.
	fillRaw, sendRaw func(fd uintptr) bool
	gatherRaw        func(fd uintptr) bool
	peekRaw          func(fd uintptr)
	out              []byte
	sent             int
	got              int
	err              error
	one              [1]byte

	// Hangup is set when the peer hangs up, which is noticed only on watched
	// connections, and by Abort.
	Hangup
	self    Partner
	watch   *Hangups
	watchID uint64
}

// NewConn wraps a connection. Buffers come from pool. If hangups is not nil, Gone and
// AbortOnHangup work where the system and the connection support it.
func NewConn(nc net.Conn, clock *Clock, pool *Pool, hangups *Hangups) *Conn {
	c := &Conn{net: nc, base: nc, clock: clock, pool: pool}
	c.self.Interrupt = c.Interrupt
	if raw := rawConn(nc); raw != nil {
		c.raw, c.plain = raw, true
		c.fillRaw, c.sendRaw, c.peekRaw = c.fillStep, c.sendStep, c.peekStep
	}
	if hangups != nil {
		hangups.add(c)
	}
	return c
}

// Net returns the wrapped connection.
func (c *Conn) Net() net.Conn { return c.net }

// Plain reports whether bytes go to a TCP socket unchanged.
func (c *Conn) Plain() bool { return c.plain }

// Abort ends the connection at once, and interrupts its partner. It may be called from
// any goroutine; Close must still be called.
func (c *Conn) Abort() {
	c.base.Close()
	c.HungUp()
}

// Partner returns c as the partner of another connection.
func (c *Conn) Partner() *Partner { return &c.self }

// Close closes the connection and releases its buffer.
func (c *Conn) Close() error {
	if c.watch != nil {
		c.watch.remove(c)
	}
	c.ReleaseIn()
	return c.net.Close()
}

// ReleaseIn gives In back to the pool, with the bytes that are in it.
func (c *Conn) ReleaseIn() {
	if c.In != nil {
		c.pool.Put(c.In)
		c.In = nil
	}
}

// LimitReads makes reads fail with os.ErrDeadlineExceeded if they take longer than
// limit, counted from now. The deadline is set only if it differs by much from the one
// that is set, so that one call per request costs next to nothing: reads fail between
// limit and 1.25 times limit.
func (c *Conn) LimitReads(now int64, limit time.Duration) {
	if armed := c.readUntil; armed < now+int64(limit) || armed > now+int64(limit)*5/4 {
		c.readUntil = now + int64(limit)*9/8
		c.net.SetReadDeadline(c.clock.Time(c.readUntil))
	}
}

// LimitWrites bounds writes as LimitReads bounds reads.
func (c *Conn) LimitWrites(now int64, limit time.Duration) {
	if armed := c.writeUntil; armed < now+int64(limit) || armed > now+int64(limit)*5/4 {
		c.writeUntil = now + int64(limit)*9/8
		c.net.SetWriteDeadline(c.clock.Time(c.writeUntil))
	}
}

// ForgetLimits makes the next LimitReads or ReadBy set the deadline in any case: it may
// have been changed directly on the wrapped connection.
func (c *Conn) ForgetLimits() { c.readUntil = math.MaxInt64 }

// ReadBy sets the time on the clock after which reads fail with os.ErrDeadlineExceeded,
// exactly.
func (c *Conn) ReadBy(at int64) {
	c.readUntil = at
	c.net.SetReadDeadline(c.clock.Time(at))
}

// WriteBy sets the time on the clock after which writes fail with
// os.ErrDeadlineExceeded, exactly.
func (c *Conn) WriteBy(at int64) {
	c.writeUntil = at
	c.net.SetWriteDeadline(c.clock.Time(at))
}

// Interrupt makes pending and later reads fail with os.ErrDeadlineExceeded. It may be
// called from any goroutine. The connection can then only be closed, unless it is idle
// and its reader expects the interrupt.
func (c *Conn) Interrupt() { c.base.SetReadDeadline(time.Unix(1, 0)) }

// Fill reads more into In, which must have free space (see Buffer.MakeRoom) or be nil.
// While it waits with In nil it holds no buffer.
func (c *Conn) Fill() (int, error) {
	switch {
	case c.plain:
		c.out = nil
		return c.rawFill(c.fillRaw)
	case c.records != nil:
		return c.fillTLS()
	case c.In == nil:
		// Wait for one byte without a buffer.
		if n, err := c.net.Read(c.one[:]); n == 0 || err != nil {
			return 0, err
		}
		c.In = c.pool.Get()
		c.In.Free()[0] = c.one[0]
		c.In.Wrote(1)
		return 1 + c.fillBuffered(), nil
	}
	n, err := c.net.Read(c.In.Free())
	c.In.Wrote(n)
	if n > 0 {
		return n, nil
	}
	return 0, err
}

// fillBuffered reads, without waiting, what a TLS session has decrypted or can decrypt.
func (c *Conn) fillBuffered() int {
	if c.lower == nil {
		return 0
	}
	c.lower.hurried = true
	n, _ := c.net.Read(c.In.Free()) // a permanent error is returned again
	c.lower.hurried = false
	c.In.Wrote(n)
	return n
}

// Quiet reports whether nothing was received, not even the end of the stream. It is for
// connections that nobody reads. For a connection that is not TCP it returns true,
// because it cannot tell. Over TLS any record counts, even one without data.
func (c *Conn) Quiet() bool {
	switch {
	case c.raw == nil:
		return true
	case c.Left():
		return false
	}
	c.err = nil
	return c.raw.Control(c.peekRaw) == nil && c.err == syscall.EAGAIN
}

// Left reports whether bytes were read from the socket and not yet used.
func (c *Conn) Left() bool {
	return c.In != nil || c.records != nil && c.records.raw.Len()+c.records.input.Len() > 0
}

// Write writes all of p. It returns the number of bytes that the kernel accepted.
func (c *Conn) Write(p []byte) (int, error) { return c.net.Write(p) }

// SendFill writes all of out, then reads as Fill does. sent is the number of bytes of
// out that the kernel accepted, also with an error.
func (c *Conn) SendFill(out []byte) (sent, got int, err error) {
	if !c.plain {
		if sent, err = c.net.Write(out); err != nil {
			return sent, 0, err
		}
		got, err = c.Fill()
		return sent, got, err
	}
	c.out, c.sent = out, 0
	if _, err = c.rawFill(c.sendRaw); err != nil || c.got > 0 {
		return c.sent, c.got, err
	}
	// The socket's send buffer is full: wait until the rest is written.
	n, err := c.net.Write(out[c.sent:])
	if c.sent += n; err != nil {
		return c.sent, 0, err
	}
	got, err = c.Fill()
	return c.sent, got, err
}
