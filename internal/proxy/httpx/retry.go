package httpx

import (
	"time"

	"windrose.dev/windrose/internal/proxy/settings"
	"windrose.dev/windrose/internal/proxy/upstream"
	"windrose.dev/windrose/internal/reason"
)

// pauseStep is how soon a pause notices that the client has left.
const pauseStep = 50 * time.Millisecond

// retry is what the repeating of a request by its route's policy needs.
type retry struct {
	tried    []*upstream.Endpoint // that did not answer, or not well
	repeated int                  // attempts that the policy had repeated
	pause    time.Duration        // before the next
	// budget is the service that the repeated attempt is counted at.
	budget *upstream.Service
}

// takeBudget counts a repeated attempt at its service, unless that has too many
// under way: attempts that are repeated because a service is overloaded must
// not overload it further.
func (r *retry) takeBudget(c *upstream.Cluster, limits *settings.Limits) bool {
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

// mayRetry reports whether the policy has one more attempt left: the client has
// got nothing yet, all that was sent is still there, there is time, and the
// service can bear it. It takes the attempt out of the service's budget.
func (s *sender) mayRetry() bool {
	p := s.x.Route.Retry
	if p == nil || s.retry.repeated >= p.Attempts || s.headSent || !s.replayable() {
		return false
	}
	s.retry.pause = s.x.Backoff(s.retry.repeated)
	if deadline := s.times.deadline; deadline != 0 && s.server.Engine.Clock.Now()+int64(s.retry.pause) >= deadline {
		return false
	}
	return s.retry.takeBudget(s.x.Cluster, &s.server.Engine.Limits)
}

// replayable reports whether the whole request can be sent again.
func (s *sender) replayable() bool {
	if !s.pump.started {
		return true // what has come of it is still there
	}
	return s.pump.replay.keeps.Load() && (s.x.BodyLength >= 0 || s.pump.ended())
}

// prepareRetry ends the attempt under way and leaves the request ready for
// another one, elsewhere if possible. It returns false, with the failure in
// s.x, when that is not to be.
func (s *sender) prepareRetry() bool {
	s.retry.repeated++
	s.retry.tried = append(s.retry.tried, s.attempt.endpoint)
	return s.setAside() && s.rest()
}

// setAside lets go of the connection to the backend and gathers the rest of the
// request.
func (s *sender) setAside() bool {
	if up := s.attempt.up; up != nil {
		s.client.KeepOnHangup(up.Partner())
		if s.pump.running && !s.pump.ended() && s.pump.running {
			up.cut() // the pump reads on
			s.pump.join()
		}
		up.close()
		s.attempt.up = nil
	}
	if !s.pump.started {
		return true
	}
	if !s.client.whole() || !s.pump.replay.keeps.Load() {
		s.blame(reason.UpstreamReset, "it broke off, and the rest of the request did not come")
		s.client.closeAfter()
		return false
	}
	s.req.first = part{data: s.pump.replay.data, last: true}
	return true
}

// rest waits out the pause before the next attempt.
func (s *sender) rest() bool {
	clock := s.server.Engine.Clock
	until := clock.Now() + int64(s.retry.pause)
	for {
		if s.client.Gone() {
			s.x.Fail(whyGone(s.client))
			return false
		}
		left := time.Duration(until - clock.Now())
		if left <= 0 {
			return true
		}
		time.Sleep(min(left, pauseStep))
	}
}

// endAttempt ends an attempt that failed as s.x says. It reports whether there
// is to be another.
func (s *sender) endAttempt() (again bool) {
	if s.x.OnError(s.times.late(s.times.attemptEnd)) && s.mayRetry() && s.prepareRetry() {
		return true
	}
	s.drop()
	return false
}

// commit lets go of what another attempt would need: the client gets the
// answer.
func (s *sender) commit() {
	s.retry.giveBudget()
	if s.pump.started && !s.copies.waiting() {
		s.pump.replay.keeps.Store(false)
	}
}
