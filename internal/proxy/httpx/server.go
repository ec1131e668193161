package httpx

import (
	"sync"
	"sync/atomic"

	"windrose.dev/windrose/internal/proxy/engine"
	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/proxy/l4"
	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/mux"
	"windrose.dev/windrose/internal/proxy/sock"
	"windrose.dev/windrose/internal/proxy/upstream"
)

// Config is what a Server needs.
type Config struct {
	Engine *engine.Engine
	// Generation is the one that serves now.
	Generation func() *exchange.Generation
	// L4 carries what requests to switch protocols become.
	L4 *l4.Server
	// ExplainToken lets a request that carries it in X-Windrose-Explain have its
	// decision in the answer's X-Windrose-Explained; empty lets none.
	ExplainToken string
}

// Server serves the requests of one proxy. Its methods may be called from any
// goroutine.
type Server struct {
	Config
	drivers   []sync.Pool // by shard
	questions questions
	mirroring atomic.Int64 // copies of requests under way
}

// New makes a Server.
func New(cfg Config) *Server {
	s := &Server{Config: cfg, drivers: make([]sync.Pool, len(cfg.Engine.Shards))}
	for i := range s.drivers {
		s.drivers[i].New = func() any { return newDriver(s) }
	}
	return s
}

// Stop ends what is asked of services beside exchanges: copies of requests among it.
func (s *Server) Stop() { s.questions.stop() }

// Connection is what exchanges have to know of their client's connection. It must not
// change while one is under way.
type Connection struct {
	Shard *engine.Shard
	Peer  exchange.Peer
	// Client is what backends that ask for it are told of the client.
	Client upstream.Client
	// AltSvc gives what tells clients that HTTP/3 is spoken on the connection's
	// listener, or nil. OffersHTTP3 tells that this client is to know.
	AltSvc      func() []byte
	OffersHTTP3 bool
}

// altSvc is what tells clients that HTTP/3 is spoken here, or nil.
func (c *Connection) altSvc() []byte {
	if !c.Peer.TLS || c.AltSvc == nil {
		return nil
	}
	return c.AltSvc()
}

// Next is what becomes of a connection of HTTP/1 behind an exchange.
type Next uint8

const (
	// Close ends it.
	Close Next = iota
	// KeepAlive serves another request.
	KeepAlive
	// Linger ends it once the client has read what was sent.
	Linger
)

// ServeHTTP1 serves one request of a connection, of which some has come. A panic ends
// this connection only.
func (s *Server) ServeHTTP1(c *Connection, conn *sock.Conn) (next Next) {
	d := s.take(c)
	end := &d.ends.http1Client
	*end = http1Client{Conn: conn, engine: s.Engine, shard: c.Shard, limits: &d.limits, out: &d.out, head: &d.x.Req}
	defer func() {
		if broken := recover(); broken != nil {
			s.Engine.Panicked(broken)
			d.abandon()
			next = end.after()
		}
		s.give(d)
	}()
	d.begin(c, end, s.Engine.Clock.Now())
	if !d.serveHTTP1(end) {
		return Close
	}
	d.finish()
	return end.after()
}

// serveHTTP1 runs the exchange. It reports whether there was one.
func (d *driver) serveHTTP1(c *http1Client) bool {
	err := c.readHead(d.times.start, d.conn.Peer.TLS)
	if err == errQuiet {
		return false
	}
	var length int64
	var protocols []byte
	if err == nil {
		length, protocols, err = c.frame()
	}
	if err != nil {
		c.closeAfter() // where the next request would begin is not known
		d.refuse(err)
		return true
	}
	if protocols != nil {
		d.req.upgrade = &upgrade{protocol: protocols}
	}
	d.req.begin(length)
	if !d.run() && !c.linger {
		c.keepAlive = false
	}
	return true
}

// ServeHTTP2 serves the request of a stream. A panic ends this stream only.
func (s *Server) ServeHTTP2(c *Connection, stream *mux.Stream) {
	s.onStream(c, func(d *driver) {
		end := &d.ends.http2Client
		*end = http2Client{Stream: stream}
		d.begin(c, end, s.Engine.Clock.Now())
		d.serveHTTP2(end)
	})
}

func (d *driver) serveHTTP2(c *http2Client) {
	if fault := c.Request(&d.x.Req); fault != nil {
		d.refuse(fault)
		return
	}
	d.req.call = isGRPC(&d.x.Req)
	d.req.begin(c.BodyLength())
	switch c.Protocol() {
	case "":
	case "websocket":
		d.req.upgrade, c.opens = newWebSocket(), true
		d.x.BodyLength = 0
		d.x.Req.Drop(msg.ContentLength) // what comes is no body
	default:
		d.refuse(errProtocol)
		return
	}
	d.run()
}

// ServeHTTP3 serves the request of a stream. A panic ends this stream only.
func (s *Server) ServeHTTP3(c *Connection, stream HTTP3Stream) {
	s.onStream(c, func(d *driver) {
		end := &d.ends.http3Client
		*end = http3Client{HTTP3Stream: stream}
		d.begin(c, end, s.Engine.Clock.Now())
		d.serveHTTP3(end)
	})
}

func (d *driver) serveHTTP3(c *http3Client) {
	h := &d.x.Req
	h.Major, h.Minor = 3, 1
	fault, ok := errOverloaded, true
	if !d.conn.Shard.Full() {
		fault, ok = c.Request(h)
	}
	switch {
	case !ok:
	case fault != nil:
		d.refuse(fault)
	default:
		d.req.call = isGRPC(h)
		d.req.begin(c.BodyLength())
		d.run()
	}
}

// onStream has a stream of HTTP/2 or HTTP/3 served, in the goroutine that it has
// to itself.
func (s *Server) onStream(c *Connection, serve func(*driver)) {
	growStack()
	d := s.take(c)
	defer func() {
		if broken := recover(); broken != nil {
			s.Engine.Panicked(broken)
			d.abandon()
		}
		s.give(d)
	}()
	serve(d)
	d.finish()
}

func (s *Server) take(c *Connection) *driver {
	d := s.drivers[c.Shard.Index].Get().(*driver)
	d.conn = c
	return d
}

func (s *Server) give(d *driver) {
	shard := d.conn.Shard.Index
	d.reset()
	s.drivers[shard].Put(d)
}

// stackBytes is about what it takes to serve a request.
const stackBytes = 5 << 10

// growStack makes room on the stack of a goroutine that serves one request. It
// would grow by itself as calls get deeper, twice, and be copied with all of
// them: that was a seventh of what a request costs.
//
//go:noinline
func growStack() {
	var room [stackBytes]byte
	touch(&room)
}

//go:noinline
func touch(*[stackBytes]byte) {}
