package proxy

import (
	"math/rand/v2"
	"slices"
	"time"

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

// retry is what the repeating of a request by its rule's policy needs.
type retry struct {
	repeated int           // attempts that the policy had repeated
	pause    time.Duration // before the next
	// budget is the service that the repeated attempt is counted at.
	budget *upstream.Service
}

// listed tells whether the rule's policy repeats answers with a status.
func (t *transfer) listed(status int) bool {
	p := t.x.Route.Retry
	return p != nil && slices.Contains(p.Codes, status)
}

// failureRepeats tells whether the policy repeats the failure in t.x. One that
// can have had an effect counts as the status that the client would get, unless
// the method is safe to repeat.
func (t *transfer) failureRepeats() bool {
	switch t.x.Outcome {
	case reason.ConnectFailed, reason.ConnectTimeout:
		return true
	case reason.UpstreamReset:
		return t.x.MayRepeat() || t.listed(t.x.Resp.Status)
	case reason.UpstreamTimeout:
		return t.late(t.attemptEnd) || t.listed(t.x.Resp.Status)
	case reason.UpstreamInvalid:
		return t.listed(t.x.Resp.Status)
	}
	return false
}

// mayRetry tells whether the policy has one more attempt left: the client has
// got nothing yet, all that was sent is still there, there is time, and the
// service can bear it. It takes the attempt out of the service's budget.
func (t *transfer) mayRetry() bool {
	p := t.x.Route.Retry
	if p == nil || t.retry.repeated >= p.Attempts || t.headersSent || !t.replayable() {
		return false
	}
	t.retry.pause = backoff(p.Backoff, t.retry.repeated)
	if t.deadline != 0 && t.proxy.clock.Now()+int64(t.retry.pause) >= t.deadline {
		return false
	}
	return t.takeBudget()
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

// replayable tells whether the whole request can be sent again.
func (t *transfer) replayable() bool {
	if !t.pump.started {
		return true // it is all in early
	}
	return t.pump.keeps.Load() && (t.x.BodyLength >= 0 || t.pumpEnded())
}

// takeBudget counts a repeated attempt at its service, unless that has too many
// under way: attempts that are repeated because a service is overloaded must
// not overload it further.
func (t *transfer) takeBudget() bool {
	t.endRetry()
	limits, service := &t.proxy.cfg.Limits, t.cluster.Service
	most := int64(limits.RetryLeast) + t.cluster.Active()*int64(limits.RetryPercent)/100
	if service.Retrying.Add(1) > most {
		service.Retrying.Add(-1)
		t.cluster.Stats.RetriesDenied.Add(1)
		return false
	}
	t.retry.budget = service
	t.cluster.Stats.Retries.Add(1)
	return true
}

// endRetry gives back to the budget what takeBudget took.
func (t *transfer) endRetry() {
	if t.retry.budget != nil {
		t.retry.budget.Retrying.Add(-1)
		t.retry.budget = nil
	}
}

// prepareRetry ends the attempt under way and leaves the request ready for
// another one, elsewhere if possible. It returns false, with the failure in
// t.x, when that is not to be.
func (t *transfer) prepareRetry() bool {
	t.retry.repeated++
	t.tried = append(t.tried, t.endpoint)
	return t.setAside() && t.rest()
}

// setAside lets go of the connection to the backend and gathers the rest of the
// request.
func (t *transfer) setAside() bool {
	if t.up != nil {
		t.client.KeepOnHangup(t.up.Partner())
		if t.pump.running && !t.pumpEnded() && t.pump.running {
			t.up.cut() // the pump reads on
			<-t.pump.done
			t.pump.running = false
		}
		t.up.close()
		t.up = nil
	}
	if !t.pump.started {
		return true
	}
	if !t.client.whole() || !t.pump.keeps.Load() {
		t.blame(reason.UpstreamReset, "it broke off, and the rest of the request did not come")
		t.client.closeAfter()
		return false
	}
	t.early, t.earlyWhole = t.pump.record, true
	return true
}

// rest waits out the pause before the next attempt.
func (t *transfer) rest() bool {
	until := t.proxy.clock.Now() + int64(t.retry.pause)
	for {
		if t.client.Gone() {
			t.x.Fail(t.whyGone())
			return false
		}
		left := time.Duration(until - t.proxy.clock.Now())
		if left <= 0 {
			return true
		}
		time.Sleep(min(left, pauseStep))
	}
}

// endAttempt ends an attempt that failed as t.x says. It returns whether there
// is to be another.
func (t *transfer) endAttempt() (again bool) {
	if t.failureRepeats() && t.mayRetry() && t.prepareRetry() {
		return true
	}
	t.drop()
	return false
}

// commit lets go of what another attempt would need: the client gets the
// answer.
func (t *transfer) commit() {
	t.endRetry()
	if t.pump.started && len(t.copies) == 0 {
		t.pump.keeps.Store(false)
	}
}
