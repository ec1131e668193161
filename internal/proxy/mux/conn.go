package mux

import (
	"errors"
	"io"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/sock"
	"windrose.dev/windrose/internal/proxy/wire/http2"
)

// Config is what connections need. One serves many.
type Config struct {
	// Limits bounds heads, and MaxStreams the streams that a connection may have
	// open at a time.
	Limits     msg.Limits
	MaxStreams uint32
	// WriteTimeout bounds one write to the socket.
	WriteTimeout time.Duration
	// Header bounds the time that a frame other than DATA, or a whole head, takes to
	// come, and the first settings.
	Header time.Duration
	// Idle bounds the time without a stream, whatever else comes meanwhile. On a
	// connection with streams that is silent for so long the other side is asked for
	// a sign of life, and has PingTimeout to give one.
	Idle, PingTimeout time.Duration
	// Discard bounds what is read of a request behind its answer, before the stream
	// is reset.
	Discard sock.Discard
	// Growth is how many bytes the windows of all connections together may still
	// grow by.
	Growth *atomic.Int64
	// Full tells that no more bytes may be kept: streams that bring some are
	// reset.
	Full func() bool

	streams sync.Pool // those that have ended, for others to use
}

// Server serves the requests of a client's connection.
type Server interface {
	// ServeStream serves one, in a goroutine of its own. The Stream must not be
	// used once it returns.
	ServeStream(*Stream)
	// Refused is told of malformed requests, and why they were reset.
	Refused(text string)
	// Denied is told of requests that there was no room for.
	Denied()
}

const (
	// firstWindow is what may come of a body before anybody reads it, and
	// maxStreamWindow up to where that grows.
	firstWindow     = 64<<10 - 1
	maxStreamWindow = 4 << 20
	// connWindow is so large that it never holds up streams: what they keep is
	// bounded by their own windows.
	connWindow = 1 << 26
	// maxOut bounds what streams may have waiting to be written.
	maxOut = 32 << 10
	// outSize is the room of an output buffer: for the frames' heads, too.
	outSize = maxOut + 4<<10
)

// Conn is one connection. Its methods may be called from any goroutine.
type Conn struct {
	cfg    *Config
	server Server // nil at a client's end
	sock   *sock.Conn
	pool   *sock.Pool
	clock  *sock.Clock

	mu       sync.Mutex
	codec    *http2.Conn
	lent     bool // the codec has a buffer to write into
	flushing bool
	reserved int       // streams that are to be opened
	blocked  []*waits  // whose writes wait
	opened   []*Stream // by the read under way
	failed   error     // why the connection is over
	leaving  bool      // it ends with its last stream
	only     bool      // it ends with its first
	onLeave  func()    // told once that no more streams can be opened
	streams  sync.WaitGroup
	flushes  sync.WaitGroup

	// Times on the clock; the first two are 0 while there is nothing to tell.
	partial int64 // since when a frame, a head or the settings are on their way
	pinged  int64 // when a sign of life was asked for
	heard   int64 // when something came
	rested  int64 // when the last stream ended

	flushLoop func() // made once: a method value would be an allocation each time
}

// NewServer serves a client's connection, once Run is called.
func NewServer(cfg *Config, server Server, conn *sock.Conn, pool *sock.Pool, clock *sock.Clock) *Conn {
	return newConn(&Conn{cfg: cfg, server: server, sock: conn, pool: pool, clock: clock})
}

// NewClient makes a connection to a backend, on which streams can be opened at
// once. Run must be called. left is called, once, when no more can be.
func NewClient(cfg *Config, conn *sock.Conn, pool *sock.Pool, clock *sock.Clock, left func()) *Conn {
	return newConn(&Conn{cfg: cfg, sock: conn, pool: pool, clock: clock, onLeave: left})
}

func newConn(c *Conn) *Conn {
	c.flushLoop, c.lent = c.flush, true // what is said first is there already
	now := c.clock.Now()
	c.partial, c.heard, c.rested = now, now, now
	c.codec = http2.NewConn(http2.Config{
		Server: c.server != nil, Limits: c.cfg.Limits, MaxStreams: c.cfg.MaxStreams,
		StreamWindow: firstWindow, MaxStreamWindow: maxStreamWindow, ConnWindow: connWindow, MaxOut: maxOut,
	}, (*events)(c), now)
	return c
}

// Run reads until the connection ends, and then waits until all its streams
// have been released and what they wrote is written. The socket is left to the
// caller to close. The error is io.EOF for a connection that ended as it should,
// *http2.ConnError for one that broke a rule, ErrSlow, or another.
func (c *Conn) Run() (err error) {
	defer func() { // behind a panic, too, which goes on
		c.lock()
		c.end(err)
		c.unlock()
		c.streams.Wait()
		c.flushes.Wait()
	}()
	c.lock()
	c.unlock() // what is said first
	return c.read()
}

// ErrSlow ends a connection whose other side begins something and does not go on.
var ErrSlow = errors.New("a frame, a head or the settings did not arrive in time")

// errIdle ends a connection that nobody uses.
var errIdle = errors.New("nothing was asked for")

// errSilent ends a connection whose other side gives no sign of life.
var errSilent = errors.New("the other side did not answer a PING")

// expects says by when something must come, and what it means when it does not:
// nil means that a sign of life is to be asked for.
func (c *Conn) expects() (by int64, otherwise error) {
	switch {
	case c.partial > 0:
		return c.partial + int64(c.cfg.Header), ErrSlow
	case c.idle():
		return c.rested + int64(c.cfg.Idle), errIdle
	case c.pinged > 0:
		return c.pinged + int64(c.cfg.PingTimeout), errSilent
	}
	return c.heard + int64(c.cfg.Idle), nil
}

// idle reports whether nobody has a stream, or is about to.
func (c *Conn) idle() bool { return c.codec.Streams() == 0 && c.reserved == 0 }

func (c *Conn) read() error {
	if c.sock.In != nil { // whoever read the preface has read on
		if err := c.take(); err != nil {
			return err
		}
	}
	for {
		c.limitRead()
		_, err := c.sock.Fill()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			if err = c.silent(); err == nil {
				continue
			}
		}
		if err != nil {
			return err
		}
		if err := c.take(); err != nil {
			return err
		}
	}
}

// limitRead bounds the next read, and the writes that TLS makes meanwhile.
func (c *Conn) limitRead() {
	now := c.clock.Now()
	c.mu.Lock()
	by, _ := c.expects()
	if !c.flushing {
		c.sock.LimitWrites(now, c.cfg.WriteTimeout)
	}
	c.mu.Unlock()
	c.sock.LimitReads(now, time.Duration(max(by-now, 0)))
}

// silent is called when nothing has come for long, or when the connection is to
// end.
func (c *Conn) silent() error {
	c.lock()
	defer c.unlock()
	if c.leaving && c.idle() {
		return io.EOF
	}
	now := c.clock.Now()
	switch by, otherwise := c.expects(); {
	case now < by:
		return nil
	case otherwise != nil:
		return otherwise
	}
	c.pinged = now
	c.codec.Ping()
	return nil
}

// take hands what came to the codec, and starts what it brings.
func (c *Conn) take() error {
	in := c.sock.In
	used, err := c.decode(in.Bytes())
	if in.Advance(used); in.Len() == 0 {
		c.sock.ReleaseIn()
	} else {
		in.MakeRoom(2 * sock.BufferSize) // a frame has 16 KiB and its head
	}
	return err
}

func (c *Conn) decode(p []byte) (used int, err error) {
	c.lock()
	defer c.unlock()
	if c.failed != nil {
		return 0, c.failed
	}
	now := c.clock.Now()
	c.pinged, c.heard = 0, now
	used, err = c.codec.Read(p, now)
	c.came(used, len(p)-used)
	opened := c.opened
	c.opened = c.opened[:0]
	c.streams.Add(len(opened))
	for i, s := range opened {
		go s.run()
		opened[i] = nil
	}
	return used, err
}

// came notes whether something has begun to come and has not ended. Frames that
// came whole let the next begin anew; of a head they are parts.
func (c *Conn) came(used, rest int) {
	switch whole := c.codec.Settled() && !c.codec.InHead(); {
	case whole && rest == 0:
		c.partial = 0
	case c.partial == 0 || whole && used > 0:
		c.partial = c.heard
	}
}

// end closes all streams. The caller holds the mutex.
func (c *Conn) end(err error) {
	if c.failed != nil {
		return
	}
	if err == nil {
		err = io.EOF
	}
	c.failed = err
	c.codec.GoAway(http2.NoError, true)
	c.codec.End(http2.Cancel, "the connection has ended: "+err.Error())
	c.unblock(forRoom)
	c.unblock(forPeer)
	c.left()
}

// left tells the owner that no more streams can be opened.
func (c *Conn) left() {
	if c.onLeave != nil {
		go c.onLeave()
		c.onLeave = nil
	}
}

// lock takes the mutex and gives the codec something to write into.
func (c *Conn) lock() {
	c.mu.Lock()
	if !c.lent {
		c.lent = true
		c.codec.Take(takeOutput())
	}
}

// unlock has the output written, if there is some, and gives the mutex back.
func (c *Conn) unlock() {
	switch {
	case c.flushing:
	case c.codec.Pending() > 0:
		c.flushing = true
		c.flushes.Add(1)
		go c.flushLoop()
	default:
		c.reclaim()
	}
	c.mu.Unlock()
}

func (c *Conn) reclaim() {
	c.lent = false
	giveOutput(c.codec.Take(nil))
}

// outputs are the buffers of connections that have something to write.
var outputs = sync.Pool{New: func() any { return new([outSize]byte) }}

func takeOutput() []byte { return outputs.Get().(*[outSize]byte)[:0] }

// giveOutput gives a buffer back, unless it had to grow.
func giveOutput(out []byte) {
	if cap(out) == outSize {
		outputs.Put((*[outSize]byte)(out[:outSize]))
	}
}

// flush writes the output until there is none. It first lets others run that
// are ready to: what they write goes out with it.
func (c *Conn) flush() {
	runtime.Gosched()
	spare := takeOutput()
	c.pool.Charge(2 * outSize)
	c.mu.Lock()
	for c.codec.Pending() > 0 {
		out := c.codec.Take(spare)
		c.unblock(forRoom)
		c.mu.Unlock()
		c.sock.LimitWrites(c.clock.Now(), c.cfg.WriteTimeout)
		_, err := c.sock.Write(out)
		spare = out
		if c.mu.Lock(); err != nil {
			c.end(err)
			c.codec.Take(c.codec.Take(nil)) // nobody reads it
			c.sock.Abort()
		}
	}
	c.flushing = false
	c.reclaim()
	over := c.over()
	c.mu.Unlock()
	c.pool.Charge(-2 * outSize)
	if giveOutput(spare); over {
		c.sock.Interrupt()
	}
	c.flushes.Done()
}

// over reports whether a connection that is to end with its last stream may end.
func (c *Conn) over() bool { return c.leaving && c.idle() && c.codec.Pending() == 0 }

// full reports whether the output holds as much as is written at a time.
func (c *Conn) full() bool { return c.codec.Pending() >= maxOut }

// unblock has all streams whose writes wait for something try again.
func (c *Conn) unblock(what cause) {
	rest := c.blocked[:0]
	for _, s := range c.blocked {
		if s.blocked != what {
			rest = append(rest, s)
			continue
		}
		s.blocked = nothing
		s.writes.signal()
	}
	clear(c.blocked[len(rest):])
	c.blocked = rest
}

// passOn has one stream try again that waits for the connection's window, if that
// is open. Each that has tried calls it: all at once would be a hundred goroutines
// for a window that a client opens by the byte.
func (c *Conn) passOn() {
	if len(c.blocked) == 0 || c.codec.Window() <= 0 {
		return
	}
	for i, s := range c.blocked {
		if s.blocked == forWindow && s.writes.waiting {
			s.blocked = nothing
			c.blocked = slices.Delete(c.blocked, i, i+1)
			s.writes.signal()
			return
		}
	}
}

// Leave has the connection end with its last stream. While final is false
// streams that are on their way are still taken.
func (c *Conn) Leave(final bool) {
	c.lock()
	c.leave(final)
	over := c.over() && !c.flushing
	c.unlock()
	if over {
		c.sock.Interrupt()
	}
}

// leave says GOAWAY to clients. Backends would close at once where no stream is
// open yet: they learn of it from the end of the connection.
func (c *Conn) leave(final bool) {
	if c.server != nil {
		c.codec.GoAway(http2.NoError, final)
	}
	c.leaving = c.leaving || final
	c.left()
}

// Abort ends the connection at once.
func (c *Conn) Abort() { c.sock.Abort() }

// Streams is the number of streams that are open.
func (c *Conn) Streams() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.codec.Streams()
}

// Open returns a stream for a request, or nil when the other side takes no more.
func (c *Conn) Open() *Stream {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed != nil || c.leaving || !c.codec.Room(c.reserved) {
		return nil
	}
	c.reserved++
	s := newStream(c)
	s.started, s.reserved = true, true
	c.streams.Add(1)
	return s
}

// OpenOnly is Open, but that the connection ends with the stream.
func (c *Conn) OpenOnly() *Stream {
	c.mu.Lock()
	c.only = true
	c.mu.Unlock()
	return c.Open()
}

// begin gives a stream its number: streams must begin in their order.
func (s *Stream) begin() error {
	s.reserved = false
	s.conn.reserved--
	if s.conn.failed == nil && s.conn.codec.NewStream(&s.codec) {
		return nil
	}
	s.err = &Error{http2.RefusedStream, "the connection takes no more streams"}
	return s.err
}
