package proxy

import (
	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/wire/http1"
)

// onStream has a stream of HTTP/2 or HTTP/3 served, in the goroutine that it has
// to itself. A panic ends this stream only.
func (s *session) onStream(serve func(*transfer)) {
	growStack()
	t := s.shard.transfers.Get().(*transfer)
	defer func() {
		if broken := recover(); broken != nil {
			s.proxy.panicked(broken)
			t.abandon()
		}
		t.reset()
		s.shard.transfers.Put(t)
	}()
	t.session, t.start = s, t.proxy.clock.Now()
	serve(t)
	t.finish()
}

// began notes what a request's head says that stays with its stream.
func (t *transfer) began(bodyLength int64) {
	h := &t.x.Req
	t.x.BodyLength = bodyLength
	t.te, t.call = msg.HasToken(h.Get(msg.TE), "trailers"), isGRPC(h) || t.findWebCall(h)
	http1.DropHopByHop(h)
}

// refuse answers a request that is not looked at.
func (t *transfer) refuse(why error) (again bool) {
	t.x.Begin(t.proxy.Generation(), &t.session.peer)
	t.x.FailWith(why)
	return t.answer()
}

// streamClient is what streams of HTTP/2 and HTTP/3 have in common as the end of an
// exchange: their heads stay where they are, and what is left of a request ends with
// its stream and is in nobody's way.
type streamClient struct {
	t   *transfer
	all bool // the whole body was taken
}

func (c *streamClient) park()        {}
func (c *streamClient) whole() bool  { return c.all }
func (c *streamClient) skip() bool   { return true }
func (c *streamClient) closeAfter()  {}
func (c *streamClient) goesOn() bool { return true }

// trailerBehind are the lines behind the answer's last part.
func (t *transfer) trailerBehind(last bool) []byte {
	if !last {
		return nil
	}
	return t.answerTrailer()
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
