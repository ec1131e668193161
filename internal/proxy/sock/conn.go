package sock

import (
	"math"
	"net"
	"syscall"
	"time"
)

// Conn is a connection of the proxy, on either side. One goroutine reads; one
// goroutine, the same or another, writes.
type Conn struct {
	// In holds what was read and not yet used; nil while there is nothing. It
	// may be given back to the pool, with ReleaseIn, when it is empty.
	In *Buffer

	net   net.Conn
	base  net.Conn        // the one that was wrapped first, below TLS
	raw   syscall.RawConn // of base; nil unless that is TCP
	plain bool            // net is base, and raw not nil
	clock *Clock
	pool  *Pool

	// Of a TLS session over the connection; see tls.go.
	lower   *lower
	records *records
	space   []byte

	readUntil, writeUntil int64 // what the deadlines are armed to

	// What the raw callbacks work on. They are made once a connection, because
	// a closure made for each call would be an allocation for each call.
	fillRaw, sendRaw func(fd uintptr) bool
	gatherRaw        func(fd uintptr) bool
	peekRaw          func(fd uintptr)
	out              []byte
	sent             int
	got              int
	err              error
	one              [1]byte

	// Hangup tells of the peer, which is noticed of watched connections only, and
	// of Abort.
	Hangup
	self    Partner
	watch   *Hangups
	watchID uint64
}

// NewConn wraps a connection. Buffers come from pool. With hangups not nil,
// Gone and AbortOnHangup work, if the system and the connection allow it.
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

// Net is the wrapped connection.
func (c *Conn) Net() net.Conn { return c.net }

// Plain reports whether the bytes go to a TCP socket as they are.
func (c *Conn) Plain() bool { return c.plain }

// Abort ends the connection at once, and what it was a partner of. It may be
// called from any goroutine; Close must still be called.
func (c *Conn) Abort() {
	c.base.Close()
	c.HungUp()
}

// Partner is c as another connection's partner.
func (c *Conn) Partner() *Partner { return &c.self }

// Close closes the connection and gives the buffer back.
func (c *Conn) Close() error {
	if c.watch != nil {
		c.watch.remove(c)
	}
	c.ReleaseIn()
	return c.net.Close()
}

// ReleaseIn gives In back to the pool, with what is in it.
func (c *Conn) ReleaseIn() {
	if c.In != nil {
		c.pool.Put(c.In)
		c.In = nil
	}
}

// LimitReads has reads fail with os.ErrDeadlineExceeded when they take longer
// than limit, counted from now. The deadline is set only when it is off by
// much, so that a call a request costs next to nothing: reads fail between
// limit and limit and a quarter.
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

// ForgetLimits has the next LimitReads or ReadBy set the deadline whatever was
// set before: somebody else may have changed it.
func (c *Conn) ForgetLimits() { c.readUntil = math.MaxInt64 }

// ReadBy has reads fail with os.ErrDeadlineExceeded from a time on the clock
// on, exactly.
func (c *Conn) ReadBy(at int64) {
	c.readUntil = at
	c.net.SetReadDeadline(c.clock.Time(at))
}

// WriteBy has writes fail with os.ErrDeadlineExceeded from a time on the clock
// on, exactly.
func (c *Conn) WriteBy(at int64) {
	c.writeUntil = at
	c.net.SetWriteDeadline(c.clock.Time(at))
}

// Interrupt makes pending and later reads fail with os.ErrDeadlineExceeded. It
// may be called from any goroutine; the connection is of no use afterwards but
// to be closed, unless it is idle and its reader expects this.
func (c *Conn) Interrupt() { c.base.SetReadDeadline(time.Unix(1, 0)) }

// Fill reads more into In, which must have room (see Buffer.MakeRoom) or be
// nil. While it waits with In nil it holds no buffer.
func (c *Conn) Fill() (int, error) {
	switch {
	case c.plain:
		c.out = nil
		return c.rawFill(c.fillRaw)
	case c.records != nil:
		return c.fillTLS()
	case c.In == nil:
		// One byte tells that there are more.
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

// fillBuffered reads what a session over the connection has decrypted, or can
// decrypt, without waiting.
func (c *Conn) fillBuffered() int {
	if c.lower == nil {
		return 0
	}
	c.lower.hurried = true
	n, _ := c.net.Read(c.In.Free()) // an error that lasts comes again
	c.lower.hurried = false
	c.In.Wrote(n)
	return n
}

// Quiet reports whether nothing has come, not even the end of the stream. It is
// for connections that nobody reads from; of those that are not TCP it knows
// nothing and returns true. Over TLS anything counts, also what would say nothing.
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

// Left reports whether more has been read from the socket than was asked for.
func (c *Conn) Left() bool {
	return c.In != nil || c.records != nil && c.records.raw.Len()+c.records.input.Len() > 0
}

// Write writes all of p. It returns how much the system took.
func (c *Conn) Write(p []byte) (int, error) { return c.net.Write(p) }

// SendFill writes all of out, then reads as Fill does. sent is how much of out
// was taken by the system, also with an error.
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
	// The socket's buffer was full: write the rest with patience.
	n, err := c.net.Write(out[c.sent:])
	if c.sent += n; err != nil {
		return c.sent, 0, err
	}
	got, err = c.Fill()
	return c.sent, got, err
}
