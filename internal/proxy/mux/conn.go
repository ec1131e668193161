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

// Config is the configuration of connections. Many connections share one Config.
type Config struct {
	// Limits bounds header sections, and MaxStreams the concurrent streams of a
	// connection.
	Limits     msg.Limits
	MaxStreams uint32
	// WriteTimeout bounds one write to the socket.
	WriteTimeout time.Duration
	// Header bounds the time in which a frame other than DATA, a whole header section,
	// and the first SETTINGS must arrive.
	Header time.Duration
	// Idle bounds the time without a stream, whatever else is received. If a connection
	// with streams is silent for this time, a PING is sent, which the peer must
	// acknowledge within PingTimeout.
	Idle, PingTimeout time.Duration
	// Discard bounds how much of a request body is read after the response was sent,
	// before the stream is reset.
	Discard sock.Discard
	// Growth is the number of bytes by which the flow control windows of all
	// connections together may still grow.
	Growth *atomic.Int64
	// Full reports whether no more bytes may be buffered. Streams that receive data
	// then are reset.
	Full func() bool

	streams sync.Pool // ended streams, for reuse
}

// Server serves the requests of a client connection.
type Server interface {
	// ServeStream serves one request, in a goroutine of its own. The Stream must not be
	// used after it returns.
	ServeStream(*Stream)
	// Refused is called for a malformed request, with the reason why it was reset.
	Refused(text string)
	// Denied is called for a request that exceeds the limit of concurrent streams.
	Denied()
}

const (
	// firstWindow is the initial flow control window of a stream, in bytes. It grows up
	// to maxStreamWindow as the body is read.
	firstWindow     = 64<<10 - 1
	maxStreamWindow = 4 << 20
	// connWindow is so large that it never blocks a stream: the windows of the streams
	// bound what is buffered.
	connWindow = 1 << 26
	// maxOut bounds the bytes that wait to be written to the socket.
	maxOut = 32 << 10
	// outSize is the size of an output buffer: maxOut, and room for frame headers.
	outSize = maxOut + 4<<10
)

// Conn is an HTTP/2 connection. Its methods may be called from any goroutine.
type Conn struct {
	cfg    *Config
	server Server // nil on the client side
	sock   *sock.Conn
	pool   *sock.Pool
	clock  *sock.Clock

	mu       sync.Mutex
	codec    *http2.Conn
	lent     bool // the codec has an output buffer
	flushing bool
	reserved int       // streams that have a place but no number yet
	blocked  []*waits  // streams whose writes are blocked
	opened   []*Stream // streams opened by the current read
	failed   error     // why the connection ended
	leaving  bool      // it ends after its last stream
	only     bool      // it ends after its first stream
	onLeave  func()    // called once, when no more streams can be opened
	streams  sync.WaitGroup
	flushes  sync.WaitGroup

	// Times on the clock. The first two are 0 if nothing is pending.
	partial int64 // when an incomplete frame, header section or SETTINGS began
	pinged  int64 // when the PING was sent
	heard   int64 // when bytes were last received
	rested  int64 // when the last stream ended

	flushLoop func() // made once: a method value would be an allocation each time
}

// NewServer returns a connection that serves a client once Run is called.
func NewServer(cfg *Config, server Server, conn *sock.Conn, pool *sock.Pool, clock *sock.Clock) *Conn {
	return newConn(&Conn{cfg: cfg, server: server, sock: conn, pool: pool, clock: clock})
}

// NewClient returns a connection to a backend. Streams can be opened at once; Run must
// be called. left is called once, when no more streams can be opened.
func NewClient(cfg *Config, conn *sock.Conn, pool *sock.Pool, clock *sock.Clock, left func()) *Conn {
	return newConn(&Conn{cfg: cfg, sock: conn, pool: pool, clock: clock, onLeave: left})
}

func newConn(c *Conn) *Conn {
	c.flushLoop, c.lent = c.flush, true // it holds the preface and SETTINGS
	now := c.clock.Now()
	c.partial, c.heard, c.rested = now, now, now
	c.codec = http2.NewConn(http2.Config{
		Server: c.server != nil, Limits: c.cfg.Limits, MaxStreams: c.cfg.MaxStreams,
		StreamWindow: firstWindow, MaxStreamWindow: maxStreamWindow, ConnWindow: connWindow, MaxOut: maxOut,
	}, (*events)(c), now)
	return c
}

// Run reads until the connection ends. It then waits until all streams are released and
// their output is written. It does not close the socket. The error is io.EOF if the
// connection ended normally, *http2.ConnError if the peer broke a rule of the protocol,
// ErrSlow, or another error.
func (c *Conn) Run() (err error) {
	defer func() { // runs after a panic too, which then continues
		c.lock()
		c.end(err)
		c.unlock()
		c.streams.Wait()
		c.flushes.Wait()
	}()
	c.lock()
	c.unlock() // sends the preface and SETTINGS
	return c.read()
}

// ErrSlow is the error of a connection whose peer began to send something and did not
// complete it in time.
var ErrSlow = errors.New("a frame, a head or the settings did not arrive in time")

// errIdle is the error of a connection that had no stream for the idle timeout.
var errIdle = errors.New("nothing was asked for")

// errSilent is the error of a connection whose peer did not acknowledge a PING.
var errSilent = errors.New("the other side did not answer a PING")

// expects returns the time by which something must be received, and the error if it is
// not. A nil error means that a PING is to be sent then.
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

// idle reports whether no stream is open or about to be opened.
func (c *Conn) idle() bool { return c.codec.Streams() == 0 && c.reserved == 0 }

func (c *Conn) read() error {
	if c.sock.In != nil { // bytes that were read together with the preface
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

// limitRead sets the deadline of the next read, and of the writes that TLS makes during
// it.
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

// silent handles the end of a read by deadline or interrupt: nothing was received in
// time, or the connection is to end.
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

// take passes the received bytes to the codec, and starts to serve the requests in
// them.
func (c *Conn) take() error {
	in := c.sock.In
	used, err := c.decode(in.Bytes())
	if in.Advance(used); in.Len() == 0 {
		c.sock.ReleaseIn()
	} else {
		in.MakeRoom(2 * sock.BufferSize) // a frame has 16 KiB and its header
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

// came records since when something is incomplete. A complete frame restarts that time,
// except within a header section, which may be split into several frames.
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

// lock locks the mutex and gives the codec an output buffer.
func (c *Conn) lock() {
	c.mu.Lock()
	if !c.lent {
		c.lent = true
		c.codec.Take(takeOutput())
	}
}

// unlock starts a flush if there is output, and unlocks the mutex.
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

// outputs is the pool of output buffers, which only connections with output hold.
var outputs = sync.Pool{New: func() any { return new([outSize]byte) }}

func takeOutput() []byte { return outputs.Get().(*[outSize]byte)[:0] }

// giveOutput returns a buffer to the pool, unless it had to grow.
func giveOutput(out []byte) {
	if cap(out) == outSize {
		outputs.Put((*[outSize]byte)(out[:outSize]))
	}
}

// flush writes until there is no more output. It first yields to other goroutines that
// are ready to run: their frames go out in the same write.
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
			c.codec.Take(c.codec.Take(nil)) // discard the output: the socket is broken
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

// over reports whether a connection that is to end after its last stream may end now.
func (c *Conn) over() bool { return c.leaving && c.idle() && c.codec.Pending() == 0 }

// full reports whether the output has reached maxOut.
func (c *Conn) full() bool { return c.codec.Pending() >= maxOut }

// unblock wakes all streams whose writes wait for what.
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

// passOn wakes one stream that waits for the connection's flow control window, if that
// is open. Each stream that has tried to send calls it. Waking all of them at once
// would run a hundred goroutines for a client that opens its window byte by byte.
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

// Leave makes the connection end after its last stream. While final is false, streams
// that the peer has already sent are still accepted.
func (c *Conn) Leave(final bool) {
	c.lock()
	c.leave(final)
	over := c.over() && !c.flushing
	c.unlock()
	if over {
		c.sock.Interrupt()
	}
}

// leave sends GOAWAY to a client. A backend is sent none, because it would close at
// once if no stream is open yet: it sees the connection end.
func (c *Conn) leave(final bool) {
	if c.server != nil {
		c.codec.GoAway(http2.NoError, final)
	}
	c.leaving = c.leaving || final
	c.left()
}

// Abort ends the connection at once.
func (c *Conn) Abort() { c.sock.Abort() }

// Streams returns the number of open streams.
func (c *Conn) Streams() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.codec.Streams()
}

// Open returns a stream for a request, or nil if the peer accepts no more.
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

// OpenOnly is like Open, but the connection ends after that stream.
func (c *Conn) OpenOnly() *Stream {
	c.mu.Lock()
	c.only = true
	c.mu.Unlock()
	return c.Open()
}

// begin gives a stream its number. Streams must be opened in the order of their
// numbers.
func (s *Stream) begin() error {
	s.reserved = false
	s.conn.reserved--
	if s.conn.failed == nil && s.conn.codec.NewStream(&s.codec) {
		return nil
	}
	s.err = &Error{http2.RefusedStream, "the connection takes no more streams"}
	return s.err
}
