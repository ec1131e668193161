package proxy

import (
	"bytes"
	"crypto/subtle"
	"errors"
	"os"
	"sync/atomic"

	"windrose.dev/windrose/internal/observe"
	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/sock"
	"windrose.dev/windrose/internal/proxy/upstream"
	"windrose.dev/windrose/internal/proxy/wire/http1"
	"windrose.dev/windrose/internal/reason"
)

// transfer drives one exchange over HTTP/1: it reads the request, has it
// decided, and moves the bytes. It is reused, and belongs to one session's
// goroutine at a time.
type transfer struct {
	proxy   *Proxy
	session *session
	client  *sock.Conn
	x       exchange.Exchange
	limits  msg.Limits

	out      []byte // what is written next
	head     int    // bytes of the request's head in client.In, or in pinned
	taken    int    // bytes of its body behind the head
	pinned   *sock.Buffer
	body     http1.Body // of the request
	respBody http1.Body
	upgrade  []byte // the protocol that the client asks to switch to
	te       bool   // the client takes trailers

	cluster  *exchange.Cluster
	endpoint *exchange.Endpoint
	tried    []*exchange.Endpoint // that did not answer, or not well
	busy     *upstream.Endpoint   // where the request is counted
	up       *upstream.Conn

	keepAlive   bool
	headersSent bool // the client has got a part of the final answer
	chunk       bool // the answer's body goes out in chunks

	pump   pump
	retry  retry
	copies []*exchange.Cluster // that get a copy of the request
	start  int64
	// When the exchange and the attempt must have ended, and the earlier of the
	// two; 0 is never.
	deadline, attemptEnd, end int64

	sentAt   int64
	waited   int64
	in, back int64 // body bytes from the client, and bytes written to it
	retries  int
	flow     observe.Flow
}

// maxKeptOut is the largest output buffer that is kept for the next exchange.
const maxKeptOut = 64 << 10

func newTransfer(p *Proxy) *transfer {
	l := p.cfg.Limits
	return &transfer{
		proxy:  p,
		limits: msg.Limits{HeadBytes: l.HeaderBytes, TargetBytes: l.TargetBytes, Fields: l.HeaderFields},
		pump:   pump{done: make(chan struct{}, 1)},
	}
}

// reset lets go of everything that belongs to the exchange.
func (t *transfer) reset() {
	t.x.Reset()
	out := t.out[:0]
	if cap(out) > maxKeptOut {
		out = nil
	}
	pumpOut := t.pump.out[:0]
	if cap(pumpOut) > maxKeptOut {
		pumpOut = nil
	}
	clear(t.tried)
	clear(t.copies)
	x, proxy, limits, done, tried, copies := t.x, t.proxy, t.limits, t.pump.done, t.tried[:0], t.copies[:0]
	*t = transfer{proxy: proxy, limits: limits, x: x, out: out, tried: tried, copies: copies, pump: pump{done: done, out: pumpOut}}
}

// abandon lets go of what the exchange holds, after a panic. It answers, if
// nothing of an answer has been sent.
func (t *transfer) abandon() {
	defer func() {
		if broken := recover(); broken != nil {
			reportDefect(broken)
		}
	}()
	t.leave()
	t.endRetry()
	t.drop()
	t.x.Route = nil // its filters may be what is broken
	t.x.Fail(reason.InternalError, "")
	if t.closeAfter(); t.headersSent {
		t.session.linger = false
		t.record()
	} else {
		t.answer()
	}
	if t.pinned != nil {
		t.session.shard.pool.Put(t.pinned)
	}
}

// serve runs one exchange. It returns whether the connection can carry
// another.
func (t *transfer) serve(s *session) (again bool) {
	t.session, t.client = s, s.conn
	t.start = t.proxy.clock.Now()
	switch err := t.readHead(); {
	case err == errQuiet:
		return false
	case err != nil:
		t.x.Begin(t.proxy.Generation(), &s.peer)
		t.x.FailWith(err)
		t.closeAfter() // where the next request would begin is not known
		again = t.answer()
	default:
		again = t.decide()
	}
	t.finish()
	return again
}

// errQuiet ends a connection without an answer: there is nobody to answer.
var errQuiet = errors.New("the client left")

// errHeadTimeout is a head that did not come in time.
var errHeadTimeout = &msg.Error{Outcome: reason.ClientTimeout, Text: "the request's head did not arrive in time"}

// errOverloaded turns away whose memory would be too much.
var errOverloaded = &msg.Error{Outcome: reason.Overloaded, Text: "the limit on buffers is reached: --max-buffer-bytes"}

// readHead reads the request's head and finds how its body ends.
func (t *transfer) readHead() error {
	var parser http1.Parser
	bounded := false
	for {
		n, err := parser.Request(&t.x.Req, t.client.In.Bytes(), &t.limits)
		if err != nil {
			return err
		}
		if n > 0 {
			t.head = n
			return t.frame()
		}
		if !bounded {
			bounded = true
			t.client.ReadBy(t.start + int64(t.proxy.cfg.Limits.HeaderTimeout))
			t.session.limitReplies(t.start)
		}
		if t.proxy.overloaded(t.session.shard) {
			return errOverloaded
		}
		t.client.In.MakeRoom(2 * t.limits.HeadBytes)
		if _, err := t.client.Fill(); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) && parser.Started(t.client.In.Bytes()) {
				return errHeadTimeout
			}
			return errQuiet
		}
	}
}

// frame finds the body's end and what concerns this connection alone, which
// then goes.
func (t *transfer) frame() error {
	h := &t.x.Req
	kind, length, err := http1.RequestFraming(h)
	if err != nil {
		return err
	}
	t.body = http1.NewBody(kind, length)
	if t.x.BodyLength = length; kind == http1.Chunked {
		t.x.BodyLength = -1
	}
	t.keepAlive = http1.KeepsAlive(h) && !t.proxy.draining.Load()
	if t.upgrade = http1.UpgradeOf(h); namesH2C(t.upgrade) || kind != http1.NoBody {
		t.upgrade = nil // h2c would carry requests that nobody looks at
	}
	t.te = msg.HasToken(h.Get(msg.TE), "trailers")
	http1.DropHopByHop(h)
	return nil
}

// namesH2C tells whether a list of protocols has h2c, of any version.
func namesH2C(protocols []byte) bool {
	for rest := protocols; len(rest) > 0; {
		var one []byte
		one, rest = msg.NextToken(rest)
		name, _, _ := bytes.Cut(one, []byte("/"))
		name, _, _ = bytes.Cut(name, []byte(";"))
		if msg.EqualFold(bytes.TrimSpace(name), "h2c") {
			return true
		}
	}
	return false
}

// wantsExplained tells whether the request carries the token for it.
func (t *transfer) wantsExplained() bool {
	token := t.proxy.cfg.ExplainToken
	return token != "" && t.x.Req.Has(msg.Spoof) &&
		subtle.ConstantTimeCompare(t.x.Req.Lookup("X-Windrose-Explain"), []byte(token)) == 1
}

func (t *transfer) decide() (again bool) {
	gen := t.proxy.Generation()
	if t.proxy.overloaded(t.session.shard) {
		t.x.Begin(gen, &t.session.peer)
		t.x.FailWith(errOverloaded)
		return t.answer()
	}
	if t.wantsExplained() {
		t.x.DecideExplained(gen, &t.session.peer)
	} else {
		t.x.Decide(gen, &t.session.peer, nil)
	}
	if t.x.Answered {
		return t.answer()
	}
	return t.forward()
}

// finish gives back what the exchange held and records it.
func (t *transfer) finish() {
	t.endRetry()
	if t.pinned != nil {
		t.session.shard.pool.Put(t.pinned)
	} else if t.client.In != nil {
		t.client.In.Advance(t.head + t.taken)
		if t.client.In.Len() == 0 {
			t.client.ReleaseIn()
		}
	}
}

// record counts and logs the exchange. Views into buffers are still valid.
func (t *transfer) record() {
	shard, m := t.session.shard.index, t.proxy.cfg.Metrics
	status := t.x.Resp.Status
	if t.x.Outcome == reason.ClientGone && !t.headersSent {
		status = reason.ClientGone.Row().Status
	}
	route := m.Unrouted()
	if t.x.Route != nil {
		route = t.x.Route.Stats
	}
	route.Hit(shard, status, t.x.Outcome)
	now := t.proxy.clock.Now()
	if t.cluster != nil {
		t.cluster.Stats.Observe(shard, durationOf(t.start, now))
	}
	if t.proxy.cfg.Log.Enabled() {
		t.log(status, now)
	}
}

func (t *transfer) log(status int, now int64) {
	x, f := &t.x, &t.flow
	*f = observe.Flow{
		Start: t.proxy.clock.Time(t.start), Duration: durationOf(t.start, now),
		Client: t.session.peer.Addr, TLS: t.session.peer.TLS,
		Method: x.Req.Bytes(x.Req.Method), Host: x.Authority, Target: x.Req.Bytes(x.Req.Target),
		RequestID: x.RequestID, Minor: x.Req.Minor,
		Status: status, Outcome: x.Outcome, BytesIn: t.in, BytesOut: t.back,
		Detail: x.Detail, Retries: t.retries,
	}
	if t.waited > 0 {
		f.Wait = durationOf(t.sentAt, t.waited)
	}
	if x.Route != nil {
		f.Route, f.Origin = x.Route.Rule.ID, x.Route.Origin
	}
	if t.endpoint != nil {
		f.Endpoint, f.Pod = t.endpoint.Name, t.endpoint.Pod
	}
	t.proxy.cfg.Log.Record(t.session.shard.index, f)
}

// pump moves a request body that is still coming to the backend, in a
// goroutine of its own, while the transfer's waits for the answer.
type pump struct {
	started bool // at any time of this exchange
	running bool
	done    chan struct{} // holds a value once the pump has ended
	out     []byte
	// stopped is why the pump broke off, as an Outcome + 1; 0 while it goes
	// well.
	stopped atomic.Int32
	detail  string
	failed  bool         // to be looked at when it has ended
	told    atomic.Bool  // to end
	taken   atomic.Bool  // the whole body was read
	last    atomic.Int64 // when it ended, on the clock
	// record is what was sent, while it keeps it: for another attempt, or for
	// mirrors. A deaf one goes on for that alone: the backend has broken off.
	record []byte
	most   int // bytes of it
	keeps  atomic.Bool
	deaf   bool
}
