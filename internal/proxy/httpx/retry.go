package httpx

import (
	"math/rand/v2"
	"slices"
	"time"

	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/proxy/settings"
	"windrose.dev/windrose/internal/proxy/upstream"
	"windrose.dev/windrose/internal/reason"
)

const (
	// defaultBackoff is the pause before the first repeated attempt of a policy
	// that names none, and maxBackoff the longest of one that does not ask for
	// more.
	defaultBackoff = 25 * time.Millisecond
	maxBackoff     = 10 * time.Second
	// pauseStep is how soon a pause notices that the client has left.
	pauseStep = 50 * time.Millisecond
)

// retry is what the repeating of a request by its route's policy needs.
type retry struct {
	tried    []*exchange.Endpoint // that did not answer, or not well
	repeated int                  // attempts that the policy had repeated
	pause    time.Duration        // before the next
	// budget is the service that the repeated attempt is counted at.
	budget *upstream.Service
}

// lists reports whether a policy, which may be nil, repeats answers with a status.
func lists(r *exchange.Route, status int) bool {
	return r.Retry != nil && slices.Contains(r.Retry.Codes, status)
}

// backoff is the pause before a repeated attempt: it doubles each time, and is
// never shorter than asked for. Chance keeps clients that failed together apart.
func backoff(least time.Duration, repeated int) time.Duration {
	if least <= 0 {
		least = defaultBackoff
	}
	pause := min(least<<min(repeated, 16), max(maxBackoff, least))
	return pause + rand.N(pause/2+1)
}

// takeBudget counts a repeated attempt at its service, unless that has too many
// under way: attempts that are repeated because a service is overloaded must
// not overload it further.
func (r *retry) takeBudget(c *exchange.Cluster, limits *settings.Limits) bool {
	r.giveBudget()
	most := int64(limits.RetryLeast) + c.Active()*int64(limits.RetryPercent)/100
	if c.Service.Retrying.Add(1) > most {
		c.Service.Retrying.Add(-1)
		c.Stats.RetriesDenied.Add(1)
		return false
	}
	r.budget = c.Service
	c.Stats.Retries.Add(1)
	return true
}

// giveBudget gives back to the budget what takeBudget took.
func (r *retry) giveBudget() {
	if r.budget != nil {
		r.budget.Retrying.Add(-1)
		r.budget = nil
	}
}

// reset makes r ready for another exchange.
func (r *retry) reset() {
	clear(r.tried)
	*r = retry{tried: r.tried[:0]}
}

// failureRepeats reports whether the policy repeats the failure in d.x. One that
// can have had an effect counts as the status that the client would get, unless
// the method is safe to repeat.
func (d *driver) failureRepeats() bool {
	listed := lists(d.x.Route, d.x.Resp.Status)
	switch d.x.Outcome {
	case reason.ConnectFailed, reason.ConnectTimeout:
		return true
	case reason.UpstreamReset:
		return d.x.MayRepeat() || listed
	case reason.UpstreamTimeout:
		return d.times.late(d.times.attemptEnd) || listed
	case reason.UpstreamInvalid:
		return listed
	}
	return false
}

// mayRetry reports whether the policy has one more attempt left: the client has
// got nothing yet, all that was sent is still there, there is time, and the
// service can bear it. It takes the attempt out of the service's budget.
func (d *driver) mayRetry() bool {
	p := d.x.Route.Retry
	if p == nil || d.retry.repeated >= p.Attempts || d.headSent || !d.replayable() {
		return false
	}
	d.retry.pause = backoff(p.Backoff, d.retry.repeated)
	if deadline := d.times.deadline; deadline != 0 && d.server.Engine.Clock.Now()+int64(d.retry.pause) >= deadline {
		return false
	}
	return d.retry.takeBudget(d.x.Cluster, &d.server.Engine.Limits)
}

// replayable reports whether the whole request can be sent again.
func (d *driver) replayable() bool {
	if !d.pump.started {
		return true // what has come of it is still there
	}
	return d.pump.replay.keeps.Load() && (d.x.BodyLength >= 0 || d.pump.ended())
}

// prepareRetry ends the attempt under way and leaves the request ready for
// another one, elsewhere if possible. It returns false, with the failure in
// d.x, when that is not to be.
func (d *driver) prepareRetry() bool {
	d.retry.repeated++
	d.retry.tried = append(d.retry.tried, d.attempt.endpoint)
	return d.setAside() && d.rest()
}

// setAside lets go of the connection to the backend and gathers the rest of the
// request.
func (d *driver) setAside() bool {
	if up := d.attempt.up; up != nil {
		d.client.KeepOnHangup(up.Partner())
		if d.pump.running && !d.pump.ended() && d.pump.running {
			up.cut() // the pump reads on
			d.pump.join()
		}
		up.close()
		d.attempt.up = nil
	}
	if !d.pump.started {
		return true
	}
	if !d.client.whole() || !d.pump.replay.keeps.Load() {
		d.blame(reason.UpstreamReset, "it broke off, and the rest of the request did not come")
		d.client.closeAfter()
		return false
	}
	d.req.first = part{data: d.pump.replay.data, last: true}
	return true
}

// rest waits out the pause before the next attempt.
func (d *driver) rest() bool {
	clock := d.server.Engine.Clock
	until := clock.Now() + int64(d.retry.pause)
	for {
		if d.client.Gone() {
			d.x.Fail(whyGone(d.client))
			return false
		}
		left := time.Duration(until - clock.Now())
		if left <= 0 {
			return true
		}
		time.Sleep(min(left, pauseStep))
	}
}

// endAttempt ends an attempt that failed as d.x says. It reports whether there
// is to be another.
func (d *driver) endAttempt() (again bool) {
	if d.failureRepeats() && d.mayRetry() && d.prepareRetry() {
		return true
	}
	d.drop()
	return false
}

// commit lets go of what another attempt would need: the client gets the
// answer.
func (d *driver) commit() {
	d.retry.giveBudget()
	if d.pump.started && !d.copies.waiting() {
		d.pump.replay.keeps.Store(false)
	}
}
