package httpx

import (
	"errors"
	"os"

	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/mux"
	"windrose.dev/windrose/internal/proxy/upstream"
	"windrose.dev/windrose/internal/reason"
)

// attempt is one try to have a request answered: an endpoint, and what the request is
// sent over.
type attempt struct {
	endpoint *exchange.Endpoint
	counted  *upstream.Endpoint // where the request counts as under way
	up       backend            // nil while there is no connection
	number   int                // from 1
	// When the request was sent, and the answer began.
	sentAt, answeredAt int64
}

// begin counts the request at an endpoint.
func (a *attempt) begin(e *exchange.Endpoint) {
	a.endpoint, a.counted = e, e.Endpoint
	a.number++
	a.counted.Active.Add(1)
}

// end takes it off the count.
func (a *attempt) end() {
	if a.counted != nil {
		a.counted.Active.Add(-1)
		a.counted = nil
	}
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

// attempts tries endpoints until one has begun to answer. Otherwise it leaves
// the failure in d.x.
func (d *driver) attempts() bool {
	fresh := false
	for try := 1; ; try++ {
		e := d.x.PickEndpoint(d.retry.tried)
		if e == nil {
			d.x.Fail(reason.NoEndpoint, d.x.Cluster.Lack())
			return false
		}
		d.attempt.begin(e)
		result := d.try(fresh)
		if result == attemptOK {
			return true
		}
		d.attempt.end()
		switch {
		case result == attemptByPolicy:
			fresh = false
		case d.isFree(result, try):
			fresh = true
		case result != attemptFinal && d.endAttempt():
			fresh = false
		default:
			return false
		}
		d.x.Answered, d.x.Detail = false, ""
	}
}

// isFree reports whether an attempt may be repeated without a policy: nothing can
// have come of it.
func (d *driver) isFree(result attemptResult, try int) bool {
	switch {
	case result == attemptFinal || try >= d.server.Engine.Limits.Attempts:
		return false
	case result == attemptElsewhere && len(d.retry.tried)+1 >= len(d.x.Cluster.Endpoints()):
		return false
	case result == attemptElsewhere:
		d.retry.tried = append(d.retry.tried, d.attempt.endpoint)
	}
	return true
}

// try sends the request to the endpoint and waits for the first bytes of the answer.
// fresh asks for a new connection.
func (d *driver) try(fresh bool) attemptResult {
	d.attempt.up = nil
	clock := d.server.Engine.Clock
	d.times.beginAttempt(clock.Now())
	if err := d.connect(fresh); err != nil {
		return d.notConnected(err)
	}
	up := d.attempt.up
	d.attempt.sentAt = clock.Now()
	d.times.limitWrites(up)
	d.times.limitReads(up)
	if !d.client.AbortOnHangup(up.Partner()) {
		d.fail(whyGone(d.client))
		return attemptFinal
	}
	sent, err := d.send()
	if err == nil {
		d.attempt.answeredAt = clock.Now()
		return attemptOK
	}
	return d.sendFailed(sent, err)
}

// connect finds or makes a connection to the endpoint.
func (d *driver) connect(fresh bool) error {
	now, shard, e := d.server.Engine.Clock.Now(), d.conn.Shard, d.attempt.endpoint
	if !fresh {
		if link, ok := e.Reuse(shard.Index, now); ok {
			d.use(link)
			return nil
		}
	}
	link, err := e.Connect(shard.Index, &shard.Pool, d.times.connectLimit(now), d.conn.Client)
	if err != nil {
		return err
	}
	d.use(link)
	return nil
}

// use has the attempt go over a link.
func (d *driver) use(l upstream.Link) {
	if l.Stream != nil {
		d.ends.http2Backend = http2Backend{Stream: l.Stream}
		d.attempt.up = &d.ends.http2Backend
		return
	}
	d.ends.http1Backend = http1Backend{
		Conn: l.Conn, endpoint: d.attempt.endpoint, shard: d.conn.Shard.Index, clock: d.server.Engine.Clock,
		limits: &d.limits, out: &d.out, framed: d.ends.http1Backend.framed,
	}
	d.attempt.up = &d.ends.http1Backend
}

func (d *driver) notConnected(err error) attemptResult {
	if d.times.late(d.times.deadline) {
		d.x.Fail(reason.UpstreamTimeout, d.times.lateness(""))
		return attemptFinal
	}
	d.x.Fail(upstream.OutcomeOf(err), err.Error())
	return attemptElsewhere
}

// send writes the request and waits for the answer's first bytes. A body that
// is still coming goes on in the pump.
func (d *driver) send() (sent int, err error) {
	d.outgoing = d.req.outgoing()
	sent, err = d.attempt.up.ask(&d.outgoing)
	if err != nil || d.req.first.last {
		return sent, err
	}
	d.pump.start(d.attempt.up)
	return sent, d.awaitAnswer()
}

// awaitAnswer reads more of the answer. While the request's body is still
// coming the read timeout is not counted: the pump has timeouts of its own.
func (d *driver) awaitAnswer() error {
	up := d.attempt.up
	for {
		err := up.wait()
		if err == nil || !d.pump.running || !errors.Is(err, os.ErrDeadlineExceeded) || d.broken() || d.times.overdue() {
			return err
		}
		if !d.pump.ended() {
			d.times.limitReads(up)
		} else if until := d.pump.last.Load() + int64(d.x.Route.Read); until > d.server.Engine.Clock.Now() {
			up.ReadBy(earlier(until, d.times.end))
		} else {
			return err
		}
		if d.broken() {
			return os.ErrDeadlineExceeded // as if interrupted: it may be, any moment
		}
	}
}

// fill reads more of the answer.
func (d *driver) fill() error {
	if d.times.limitReads(d.attempt.up); d.broken() {
		return os.ErrDeadlineExceeded // as if interrupted: it may be, any moment
	}
	return d.awaitAnswer()
}

// broken reports whether the pump or the client has broken the exchange off.
func (d *driver) broken() bool { return d.pump.stopped.Load() != 0 || d.client.Gone() }

// sendFailed tells apart why no answer came, and whether the request may be
// sent again: when nothing of it can have been acted upon, or when a
// connection that was idle turned out dead and the method is idempotent.
func (d *driver) sendFailed(sent int, err error) attemptResult {
	outcome, detail := reason.UpstreamReset, resetDetail(err, "it closed the connection before it answered")
	up, pumped := d.attempt.up, d.pump.running
	var broken *msg.Error
	switch {
	case errors.As(err, &broken):
		outcome, detail = broken.Outcome, broken.Text
	case errors.Is(err, os.ErrDeadlineExceeded):
		outcome, detail = reason.UpstreamTimeout, d.times.lateness("no answer within the read timeout")
	case !pumped && (refusedUnseen(err) || up.reused() && (sent == 0 || d.x.MayRepeat())):
		if d.client.KeepOnHangup(up.Partner()) {
			up.close()
			d.attempt.up = nil
			d.x.Fail(outcome, detail)
			return attemptAgain
		}
	}
	if d.blame(outcome, detail); d.endAttempt() {
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

// blame leaves a failure in d.x with an outcome, unless it was the client, or
// the pump, that broke the exchange off: then with theirs.
func (d *driver) blame(outcome reason.Outcome, detail string) {
	if why, text, stopped := d.pump.why(); stopped {
		outcome, detail = why, text
	} else if d.client.Gone() {
		outcome, detail = whyGone(d.client)
	} else if outcome == reason.UpstreamReset && d.lateThere() {
		outcome, detail = reason.UpstreamTimeout, "the caller's deadline has passed at the backend"
	}
	d.x.Fail(outcome, detail)
}

// lateThere reports whether a backend may have ended a call because of its
// deadline.
func (d *driver) lateThere() bool {
	return d.req.call && d.times.deadline != 0 && d.times.late(d.times.deadline-int64(deadlineSlack))
}

// fail ends the work at the backend with an outcome.
func (d *driver) fail(outcome reason.Outcome, detail string) {
	d.blame(outcome, detail)
	d.drop()
}

// drop closes the connection to the backend and ends the pump.
func (d *driver) drop() {
	up := d.attempt.up
	if up == nil {
		return
	}
	d.client.KeepOnHangup(up.Partner())
	if !d.pump.ended() && d.pump.running {
		up.cut()
		d.pump.stop()
	}
	up.close()
	d.attempt.up = nil
}

// release gives the connection to the backend back, or closes it.
func (d *driver) release() {
	up := d.attempt.up
	if d.client.KeepOnHangup(up.Partner()) && d.pump.ended() && !d.pump.failed {
		up.release()
		d.attempt.up = nil
		return
	}
	d.drop()
}
