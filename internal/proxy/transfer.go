package proxy

import (
	"crypto/subtle"

	"windrose.dev/windrose/internal/observe"
	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/upstream"
	"windrose.dev/windrose/internal/reason"
)

// transfer drives one exchange: it has the request decided, and moves the bytes
// between its two ends. It is reused, and belongs to one goroutine at a time.
type transfer struct {
	proxy   *Proxy
	session *session
	x       exchange.Exchange
	limits  msg.Limits

	// The ends, of which those that are in use are kept with the transfer.
	client       client
	up           backend
	http1Client  http1Client
	http2Client  http2Client
	http3Client  http3Client
	http1Backend http1Backend
	http2Backend http2Backend

	out        []byte // what is written next
	recoded    []byte // a part of the answer's body, as it was changed
	early      []byte // of the request's body, to be sent with the head
	earlyWhole bool   // that is all of it
	upgrade    []byte // the protocol that the client asks to switch to
	key        []byte // of its WebSocket, where one side needs it and the other does not
	te         bool   // the client takes trailers
	call       bool   // the request is one of gRPC or gRPC-Web
	web        *webCall
	// answerLength is that of the answer's body, or -1.
	answerLength int64

	cluster  *exchange.Cluster
	endpoint *exchange.Endpoint
	tried    []*exchange.Endpoint // that did not answer, or not well
	busy     *upstream.Endpoint   // where the request is counted

	headersSent bool // the client has got a part of an answer, interim ones among them

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
	return &transfer{
		proxy:  p,
		limits: p.cfg.Limits.Head(),
		pump:   pump{done: make(chan struct{}, 1)},
	}
}

// reset lets go of everything that belongs to the exchange.
func (t *transfer) reset() {
	t.x.Reset()
	clear(t.tried)
	clear(t.copies)
	*t = transfer{
		proxy: t.proxy, limits: t.limits, x: t.x, out: kept(t.out), recoded: kept(t.recoded), tried: t.tried[:0], copies: t.copies[:0],
		pump:         pump{done: t.pump.done, out: kept(t.pump.out)},
		http1Backend: http1Backend{framed: kept(t.http1Backend.framed)},
	}
}

// kept empties an output buffer, or drops one that has grown large.
func kept(out []byte) []byte {
	if cap(out) > maxKeptOut {
		return nil
	}
	return out[:0]
}

// abandon lets go of what the exchange holds, after a panic. It answers, if
// nothing of an answer has been sent.
func (t *transfer) abandon() {
	defer func() {
		if broken := recover(); broken != nil {
			t.proxy.panicked(broken)
		}
	}()
	t.leave()
	t.endRetry()
	t.drop()
	t.x.Route = nil // its filters may be what is broken
	t.x.Fail(reason.InternalError, "")
	if t.client.closeAfter(); t.headersSent {
		t.client.abort()
		t.record()
	} else {
		t.answer()
	}
	t.client.finish()
}

// errOverloaded turns away whose memory would be too much.
var errOverloaded = &msg.Error{Outcome: reason.Overloaded, Text: "the limit on buffers is reached: --max-buffer-bytes"}

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

// finish gives back what the exchange held.
func (t *transfer) finish() {
	t.endRetry()
	t.client.finish()
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
		RequestID: x.RequestID, Major: x.Req.Major, Minor: x.Req.Minor,
		Status: status, Outcome: x.Outcome, BytesIn: t.in, BytesOut: t.back,
		Detail: x.Detail, Retries: t.retries,
	}
	if f.Major >= 2 {
		f.Minor = 0
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
