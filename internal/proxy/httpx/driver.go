package httpx

import (
	"crypto/subtle"
	"time"

	"windrose.dev/windrose/internal/observe"
	"windrose.dev/windrose/internal/proxy/engine"
	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/sock"
	"windrose.dev/windrose/internal/proxy/upstream"
	"windrose.dev/windrose/internal/reason"
)

// driver drives one exchange: it has the request decided, and moves the bytes
// between its two ends. It is reused, and belongs to one goroutine at a time.
type driver struct {
	state
	sender    sender
	responder responder
}

// state is what is known of an exchange while it is under way.
type state struct {
	server *Server
	conn   *Connection
	limits msg.Limits
	x      exchange.Exchange

	client  client
	ends    ends
	out     []byte // what is written next
	times   times
	req     request
	attempt attempt
	pump    pump
	copies  copies

	headSent bool  // the client has got a part of an answer, interim ones among them
	back     int64 // bytes of bodies written to it
	flow     observe.Flow
}

// sender sends the request to backends until one has begun to answer.
type sender struct {
	*state
	outgoing outgoing
	retry    retry
}

// responder answers the client: with what the backend says, or with words of ours.
type responder struct {
	*sender
	answer    answer
	permitted permission // asked for each part of the body
	ownLength int64      // of the body of an answer of ours
	recoded   []byte     // a part of the backend's body, as it was changed
}

// ends are the two ends of an exchange, of which those that are in use are kept with
// the driver.
type ends struct {
	http1Client  http1Client
	http2Client  http2Client
	http3Client  http3Client
	http1Backend http1Backend
	http2Backend http2Backend
}

// backend makes the end for what a lease has connected. out is the memory for what is
// written first.
func (e *ends) backend(l *upstream.Lease, shard *engine.Shard, clock *sock.Clock, limits *msg.Limits, out *[]byte) backend {
	if l.Stream != nil {
		e.http2Backend = http2Backend{Stream: l.Stream}
		return &e.http2Backend
	}
	e.http1Backend = http1Backend{
		Conn: l.Conn, pool: l.Endpoint.Pool, shard: shard.Index, clock: clock, limits: limits, out: out, framed: e.http1Backend.framed,
	}
	return &e.http1Backend
}

// maxKeptOut is the largest output buffer that is kept for the next exchange.
const maxKeptOut = 64 << 10

func newDriver(s *Server) *driver {
	d := &driver{}
	d.server, d.limits, d.pump.done = s, s.Engine.Limits.Head(), make(chan struct{}, 1)
	d.wire()
	return d
}

// wire has the parts of d know of each other.
func (d *driver) wire() {
	d.sender.state, d.responder.sender = &d.state, &d.sender
	d.req.x, d.x.Asker = &d.x, &d.state
	d.times.clock, d.times.limits = d.server.Engine.Clock, &d.server.Engine.Limits
	d.pump.engine, d.pump.req, d.pump.times, d.pump.copies = d.server.Engine, &d.req, &d.times, &d.copies
	d.copies.server = d.server
}

// begin has d serve a request that began to come at start.
func (d *driver) begin(c *Connection, end client, start int64) {
	d.conn, d.client, d.times.start = c, end, start
	d.req.client, d.pump.client, d.copies.conn = end, end, c
}

// reset lets go of everything that belongs to the exchange.
func (d *driver) reset() {
	d.x.Reset()
	d.sender.retry.reset()
	d.copies.reset()
	*d = driver{
		state: state{
			server: d.server, limits: d.limits, x: d.x, out: kept(d.out), copies: d.copies,
			pump: pump{done: d.pump.done, out: kept(d.pump.out)},
			ends: ends{http1Backend: http1Backend{framed: kept(d.ends.http1Backend.framed)}},
		},
		sender:    sender{retry: d.sender.retry},
		responder: responder{recoded: kept(d.responder.recoded)},
	}
	d.wire()
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
func (d *driver) abandon() {
	defer func() {
		if broken := recover(); broken != nil {
			d.server.Engine.Panicked(broken)
		}
	}()
	d.attempt.end(reason.InternalError)
	d.sender.retry.giveBudget()
	d.sender.drop()
	d.x.Route = nil // its filters may be what is broken
	d.x.Fail(reason.InternalError, "")
	if d.client.closeAfter(); d.headSent {
		d.client.abort()
		d.record()
	} else {
		d.responder.answerOwn()
	}
	d.client.finish()
}

// errOverloaded turns away whose memory would be too much.
var errOverloaded = &msg.Error{Outcome: reason.Overloaded, Text: "the limit on buffers is reached: --max-buffer-bytes"}

// refuse answers a request that is not looked at. It reports whether the connection
// can carry another.
func (d *driver) refuse(why error) (again bool) {
	d.x.Begin(d.server.Generation(), &d.conn.Peer)
	d.x.FailWith(why)
	return d.responder.answerOwn()
}

// run has the request decided, and answered or forwarded. It reports whether the
// connection can carry another.
func (d *driver) run() (again bool) {
	if d.conn.Shard.Full() {
		return d.refuse(errOverloaded)
	}
	gen := d.server.Generation()
	if d.wantsExplained() {
		d.x.DecideExplained(gen, &d.conn.Peer)
	} else {
		d.x.Decide(gen, &d.conn.Peer, nil)
	}
	if d.x.Answered {
		return d.responder.answerOwn()
	}
	return d.forward()
}

// wantsExplained reports whether the request carries the token for it.
func (d *driver) wantsExplained() bool {
	token := d.server.ExplainToken
	return token != "" && d.x.Req.Has(msg.Spoof) &&
		subtle.ConstantTimeCompare(d.x.Req.Lookup("X-Windrose-Explain"), []byte(token)) == 1
}

// forward sends the request to a backend and its answer to the client.
func (d *driver) forward() (again bool) {
	if d.req.upgrade != nil {
		d.x.PrepareTunnel()
	}
	d.req.webToGRPC()
	d.times.route = d.x.Route
	d.times.bound(d.req.timeLimit())
	if err := d.req.takeFirst(); err != nil {
		if d.x.FailWith(err); err != errBodyTooLarge {
			d.client.closeAfter() // where the next request would begin is not known
		}
		return d.responder.answerOwn()
	}
	d.copies.choose(&d.req)
	d.responder.permitted = permission{d.server, d.x.View(), d.x.Gen}
	d.pump.permitted = d.responder.permitted
	d.x.Cluster.Await(d.x.Route.Connect)
	for d.sender.attempts() {
		became := d.responder.respond()
		d.attempt.end(d.x.Outcome)
		switch became {
		case responded:
			return d.client.goesOn()
		case brokenOff:
			return false
		case failed:
			return d.responder.answerOwn()
		}
	}
	if d.sender.drop(); !d.pump.started && !d.client.whole() {
		d.copies.drop() // they will never be whole
	}
	return d.responder.answerOwn()
}

// finish gives back what the exchange held.
func (d *driver) finish() {
	d.sender.retry.giveBudget()
	d.client.finish()
}

// record tells what was observed of the exchange. Views into buffers are still valid.
func (d *state) record() {
	x, f, e := &d.x, &d.flow, d.server.Engine
	now := e.Clock.Now()
	*f = observe.Flow{
		Rule: e.Sink.Metrics.Unrouted(), Duration: time.Duration(now - d.times.start),
		Status: x.Resp.Status, Outcome: x.Outcome,
	}
	if x.Outcome == reason.ClientGone && !d.headSent {
		f.Status = reason.ClientGone.Row().Status
	}
	if x.Route != nil {
		f.Rule = x.Route.Stats
	}
	if d.times.route != nil { // it was to be forwarded
		f.Service = x.Cluster.Stats
	}
	if e.Sink.Wanted() {
		d.describe(f)
	}
	e.Sink.Record(d.conn.Shard.Index, f)
	x.Finish()
}

// describe fills in what only readers of Flows look at.
func (d *state) describe(f *observe.Flow) {
	x, p := &d.x, &d.conn.Peer
	f.Start = d.server.Engine.Clock.Time(d.times.start)
	f.Client, f.TLS = p.Addr, p.TLS
	f.Method, f.Host, f.Target = x.Req.Bytes(x.Req.Method), x.Authority, x.Req.Bytes(x.Req.Target)
	f.RequestID, f.Trace = x.RequestID, x.Req.Lookup("traceparent")
	f.Source.Identity = p.Identity.Name()
	f.Judge(x.Policy)
	f.Detail, f.BytesIn, f.BytesOut, f.Attempt = x.Detail, d.req.in, d.back, d.attempt.number
	if f.Major, f.Minor = x.Req.Major, x.Req.Minor; f.Major >= 2 {
		f.Minor = 0
	}
	if d.attempt.answeredAt > 0 {
		f.Wait = time.Duration(d.attempt.answeredAt - d.attempt.sentAt)
	}
	if x.Route != nil {
		f.Route, f.Origin = x.Route.Rule.ID, x.Route.Origin
	}
	if e := d.attempt.endpoint; e != nil {
		f.Endpoint, f.Destination.Workload = e.Name, e.Pod
	}
}
