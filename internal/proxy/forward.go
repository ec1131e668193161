package proxy

import (
	"errors"
	"os"
	"time"

	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/mux"
	"windrose.dev/windrose/internal/proxy/upstream"
	"windrose.dev/windrose/internal/reason"
)

// awaitNames bounds how long the first requests to a host name wait until its
// addresses are known.
const awaitNames = 2 * time.Second

func durationOf(from, to int64) time.Duration { return time.Duration(to - from) }

// forward sends the request to a backend and its answer to the client.
func (t *transfer) forward() (again bool) {
	if t.upgrade != nil {
		t.x.PrepareTunnel()
	}
	t.cluster = t.x.Cluster
	t.webToGRPC()
	if limit := t.timeLimit(); limit > 0 {
		t.deadline = t.proxy.clock.Now() + int64(limit)
	}
	if err := t.takeEarly(); err != nil {
		if t.x.FailWith(err); err != errBodyTooLarge {
			t.client.closeAfter() // where the next request would begin is not known
		}
		return t.answer()
	}
	t.chooseCopies()
	t.cluster.Await(min(t.x.Route.Connect, awaitNames))
	for t.attempts() {
		again, repeat := t.relay()
		t.leave()
		if !repeat {
			return again
		}
		t.retries++
	}
	if t.drop(); !t.pump.started && !t.client.whole() {
		t.dropCopies() // they will never be whole
	}
	return t.answer()
}

// timeLimit bounds the exchange: by its rule, and by how long a caller of gRPC
// waits. 0 is no bound.
func (t *transfer) timeLimit() time.Duration {
	limit := t.x.Route.Timeout
	if t.call {
		if asked, ok := grpcTimeout(&t.x.Req); ok && (limit == 0 || asked < limit) {
			return max(asked, 1)
		}
	}
	return limit
}

// enter and leave count the request at its endpoint.
func (t *transfer) enter() {
	t.busy = t.endpoint.Endpoint
	t.busy.Active.Add(1)
}

func (t *transfer) leave() {
	if t.busy != nil {
		t.busy.Active.Add(-1)
		t.busy = nil
	}
}

// takeEarly takes what has come of the request's body with its head.
func (t *transfer) takeEarly() (err error) {
	if t.early, err = t.client.early(); err != nil {
		return err
	}
	if t.earlyWhole = t.client.whole(); t.overLimit(len(t.early)) {
		return errBodyTooLarge
	}
	if t.x.RecodeRequest != nil {
		t.x.Req.Drop(msg.ContentLength)
		t.x.BodyLength = -1
		var own []byte
		t.early, err = t.recodeRequest(&own, t.early, t.earlyWhole)
	}
	return err
}

var errBodyTooLarge error = &msg.Error{Outcome: reason.BodyTooLarge, Text: "the body grew beyond the route's limit"}

// overLimit counts bytes of the request's body.
func (t *transfer) overLimit(n int) bool {
	t.in += int64(n)
	return t.x.MaxBody > 0 && t.in > t.x.MaxBody
}

// attempts tries endpoints until one has begun to answer. Otherwise it leaves
// the failure in t.x.
func (t *transfer) attempts() bool {
	fresh := false
	for try := 1; ; try++ {
		t.endpoint = t.x.PickEndpoint(t.tried)
		if t.endpoint == nil {
			t.x.Fail(reason.NoEndpoint, t.cluster.Lack())
			return false
		}
		t.enter()
		verdict := t.attempt(fresh)
		if verdict == attemptOK {
			return true
		}
		t.leave()
		switch {
		case verdict == attemptByPolicy:
			fresh = false
		case t.isFree(verdict, try):
			fresh = true
		case verdict != attemptFinal && t.endAttempt():
			fresh = false
		default:
			return false
		}
		t.retries++
		t.x.Answered, t.x.Detail = false, ""
	}
}

// isFree tells whether an attempt may be repeated without a policy: nothing can
// have come of it.
func (t *transfer) isFree(verdict attemptResult, try int) bool {
	switch {
	case verdict == attemptFinal || try >= t.proxy.cfg.Limits.Attempts:
		return false
	case verdict == attemptElsewhere && len(t.tried)+1 >= len(t.cluster.Endpoints()):
		return false
	case verdict == attemptElsewhere:
		t.tried = append(t.tried, t.endpoint)
	}
	return true
}

// attemptResult is how one attempt ended.
type attemptResult uint8

const (
	attemptOK        attemptResult = iota // the answer has begun
	attemptAgain                          // failed, and may be repeated
	attemptElsewhere                      // failed, and may be repeated at another endpoint
	attemptByPolicy                       // failed, and the rule's policy repeats it
	attemptFinal                          // failed for good
)

// attempt sends the request to the endpoint and waits for the first bytes of
// the answer. fresh asks for a new connection.
func (t *transfer) attempt(fresh bool) attemptResult {
	t.up = nil
	t.begin(t.proxy.clock.Now())
	if err := t.connect(fresh); err != nil {
		return t.notConnected(err)
	}
	t.sentAt = t.proxy.clock.Now()
	t.limitWrites(t.sentAt)
	t.limitReads(t.sentAt)
	if !t.client.AbortOnHangup(t.up.Partner()) {
		t.fail(t.whyGone())
		return attemptFinal
	}
	sent, err := t.send()
	if err == nil {
		t.waited = t.proxy.clock.Now()
		return attemptOK
	}
	return t.sendFailed(sent, err)
}

// connect finds or makes a connection to the endpoint.
func (t *transfer) connect(fresh bool) error {
	now, shard := t.proxy.clock.Now(), t.session.shard
	if !fresh {
		if link, ok := t.endpoint.Reuse(shard.index, now); ok {
			t.use(link)
			return nil
		}
	}
	link, err := t.endpoint.Connect(shard.index, &shard.pool, t.connectLimit(now), t.session.client())
	if err != nil {
		return err
	}
	t.use(link)
	return nil
}

// use has the attempt go over a link.
func (t *transfer) use(l upstream.Link) {
	if l.Stream != nil {
		t.http2Backend = http2Backend{Stream: l.Stream, t: t}
		t.up = &t.http2Backend
		return
	}
	t.http1Backend = http1Backend{Conn: l.Conn, t: t, framed: t.http1Backend.framed}
	t.up = &t.http1Backend
}

// connectOutcome says how an attempt to connect failed.
func connectOutcome(err error) reason.Outcome {
	switch {
	case errors.Is(err, upstream.ErrTimeout):
		return reason.ConnectTimeout
	case errors.Is(err, upstream.ErrHandshake):
		return reason.UpstreamTLSFailed
	}
	return reason.ConnectFailed
}

func (t *transfer) notConnected(err error) attemptResult {
	outcome := connectOutcome(err)
	if t.late(t.deadline) {
		t.x.Fail(reason.UpstreamTimeout, t.lateness(""))
		return attemptFinal
	}
	t.x.Fail(outcome, err.Error())
	return attemptElsewhere
}

// send writes the request and waits for the answer's first bytes. A body that
// is still coming goes on in the pump.
func (t *transfer) send() (sent int, err error) {
	sent, err = t.up.ask()
	if err != nil || t.earlyWhole {
		return sent, err
	}
	t.startPump()
	return sent, t.awaitAnswer()
}

// awaitAnswer reads more of the answer. While the request's body is still
// coming the read timeout is not counted: the pump has timeouts of its own.
func (t *transfer) awaitAnswer() error {
	for {
		err := t.up.wait()
		if err == nil || !t.pump.running || !errors.Is(err, os.ErrDeadlineExceeded) || t.broken() || t.overdue() {
			return err
		}
		now, limit := t.proxy.clock.Now(), t.x.Route.Read
		if !t.pumpEnded() {
			t.limitReads(now)
		} else if until := t.pump.last.Load() + int64(limit); until > now {
			t.up.ReadBy(earlier(until, t.end))
		} else {
			return err
		}
		if t.broken() {
			return os.ErrDeadlineExceeded // as if interrupted: it may be, any moment
		}
	}
}

// broken tells whether the pump or the client has broken the exchange off.
func (t *transfer) broken() bool { return t.pump.stopped.Load() != 0 || t.client.Gone() }

// sendFailed tells apart why no answer came, and whether the request may be
// sent again: when nothing of it can have been acted upon, or when a
// connection that was idle turned out dead and the method is idempotent.
func (t *transfer) sendFailed(sent int, err error) attemptResult {
	outcome, detail := reason.UpstreamReset, resetDetail(err, "it closed the connection before it answered")
	pumped := t.pump.running
	var broken *msg.Error
	switch {
	case errors.As(err, &broken):
		outcome, detail = broken.Outcome, broken.Text
	case errors.Is(err, os.ErrDeadlineExceeded):
		outcome, detail = reason.UpstreamTimeout, t.lateness("no answer within the read timeout")
	case !pumped && (untouched(err) || t.up.reused() && (sent == 0 || t.x.MayRepeat())):
		if t.client.KeepOnHangup(t.up.Partner()) {
			t.up.close()
			t.up = nil
			t.x.Fail(outcome, detail)
			return attemptAgain
		}
	}
	if t.blame(outcome, detail); t.endAttempt() {
		return attemptByPolicy
	}
	return attemptFinal
}

// resetDetail says why a stream ended; otherwise is what to say of a connection.
func resetDetail(err error, otherwise string) string {
	var reset *mux.Error
	if errors.As(err, &reset) {
		return "its stream ended: " + reset.Error()
	}
	return otherwise
}

// fail ends the work at the backend with an outcome.
func (t *transfer) fail(outcome reason.Outcome, detail string) {
	t.blame(outcome, detail)
	t.drop()
}

// whyGone is the outcome of an exchange whose client has gone, or was sent away.
func (t *transfer) whyGone() (reason.Outcome, string) {
	if fault := t.client.fault(); fault != nil {
		return fault.Outcome, fault.Text
	}
	return reason.ClientGone, ""
}

// blame leaves a failure in t.x with an outcome, unless it was the client, or
// the pump, that broke the exchange off: then with theirs.
func (t *transfer) blame(outcome reason.Outcome, detail string) {
	switch stopped := t.pump.stopped.Load(); {
	case stopped != 0:
		outcome, detail = reason.Outcome(stopped-1), t.pump.detail
	case t.client.Gone():
		outcome, detail = t.whyGone()
	case outcome == reason.UpstreamReset && t.lateThere():
		outcome, detail = reason.UpstreamTimeout, "the caller's deadline has passed at the backend"
	}
	t.x.Fail(outcome, detail)
}

// drop closes the connection to the backend and ends the pump.
func (t *transfer) drop() {
	if t.up == nil {
		return
	}
	t.client.KeepOnHangup(t.up.Partner())
	if !t.pumpEnded() && t.pump.running {
		t.up.cut()
		t.stopPump()
	}
	t.up.close()
	t.up = nil
}

// fill reads more of the answer.
func (t *transfer) fill() error {
	if t.limitReads(t.proxy.clock.Now()); t.broken() {
		return os.ErrDeadlineExceeded // as if interrupted: it may be, any moment
	}
	return t.awaitAnswer()
}

// release gives the connection to the backend back, or closes it.
func (t *transfer) release() {
	if t.client.KeepOnHangup(t.up.Partner()) && t.pumpEnded() && !t.pump.failed {
		t.up.release()
		t.up = nil
		return
	}
	t.drop()
}
