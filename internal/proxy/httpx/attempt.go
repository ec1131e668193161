package httpx

import (
	"errors"
	"os"

	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/mux"
	"windrose.dev/windrose/internal/proxy/upstream"
	"windrose.dev/windrose/internal/reason"
)

// attempt is one try to have a request answered: an endpoint, and what the request is
// sent over.
type attempt struct {
	lease    upstream.Lease
	endpoint *upstream.Endpoint // also once the lease has ended
	up       backend            // nil while there is no connection
	number   int                // from 1
	status   int                // of the endpoint's answer; 0 before it has come
	// When the request was sent, and the answer began.
	sentAt, answeredAt int64
}

// begin is another try, at an endpoint of a cluster.
func (a *attempt) begin(c *upstream.Cluster, p upstream.Pick) (err error) {
	if a.lease, err = c.Reserve(p); err != nil {
		return err
	}
	a.endpoint = a.lease.Endpoint
	a.number++
	a.status = 0
	return nil
}

// end gives the lease back, after what has an outcome.
func (a *attempt) end(outcome reason.Outcome) {
	a.lease.Done(upstream.Result{Outcome: outcome, Status: a.status})
	a.lease = upstream.Lease{}
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
// the failure in s.x.
func (s *sender) attempts() bool {
	fresh := false
	for try := 1; ; try++ {
		if s.attempt.begin(s.x.Cluster, s.x.Pick(s.retry.tried)) != nil {
			s.x.Fail(reason.NoEndpoint, s.x.Cluster.Lack())
			return false
		}
		result := s.try(fresh)
		if result == attemptOK {
			return true
		}
		s.attempt.end(s.x.Outcome)
		switch {
		case result == attemptByPolicy:
			fresh = false
		case s.isFree(result, try):
			fresh = true
		case result != attemptFinal && s.endAttempt():
			fresh = false
		default:
			return false
		}
		s.x.Answered, s.x.Detail = false, ""
	}
}

// isFree reports whether an attempt may be repeated without a policy: nothing can
// have come of it.
func (s *sender) isFree(result attemptResult, try int) bool {
	switch {
	case result == attemptFinal || try >= s.server.Engine.Limits.Attempts:
		return false
	case result == attemptElsewhere && len(s.retry.tried)+1 >= len(s.x.Cluster.Endpoints()):
		return false
	case result == attemptElsewhere:
		s.retry.tried = append(s.retry.tried, s.attempt.endpoint)
	}
	return true
}

// try sends the request to the endpoint and waits for the first bytes of the answer.
// fresh asks for a new connection.
func (s *sender) try(fresh bool) attemptResult {
	s.attempt.up = nil
	clock := s.server.Engine.Clock
	now := clock.Now()
	s.times.beginAttempt(now)
	if err := s.connect(fresh, now); err != nil {
		return s.notConnected(err)
	}
	up := s.attempt.up
	s.attempt.sentAt = clock.Now()
	s.times.limitWrites(up, s.attempt.sentAt)
	s.times.limitReads(up, s.attempt.sentAt)
	if !s.client.AbortOnHangup(up.Partner()) {
		s.fail(whyGone(s.client))
		return attemptFinal
	}
	sent, err := s.send()
	if err == nil {
		s.attempt.answeredAt = clock.Now()
		return attemptOK
	}
	return s.sendFailed(sent, err)
}

// connect finds or makes a connection to the endpoint, and has the attempt go over it.
func (s *sender) connect(fresh bool, now int64) error {
	shard, lease := s.conn.Shard, &s.attempt.lease
	err := lease.Connect(upstream.Dial{
		Shard: shard.Index, Buffers: &shard.Pool, Timeout: s.times.connectLimit(now), Client: s.conn.Client, Fresh: fresh,
	})
	if err == nil {
		s.attempt.up = s.ends.backend(lease, shard, s.server.Engine.Clock, &s.limits, &s.out)
	}
	return err
}

func (s *sender) notConnected(err error) attemptResult {
	if s.times.late(s.times.deadline) {
		s.x.Fail(reason.UpstreamTimeout, s.times.lateness(""))
		return attemptFinal
	}
	s.x.Fail(upstream.OutcomeOf(err), err.Error())
	return attemptElsewhere
}

// send writes the request and waits for the answer's first bytes. A body that
// is still coming goes on in the pump.
func (s *sender) send() (sent int, err error) {
	s.outgoing = s.req.outgoing()
	sent, err = s.attempt.up.ask(&s.outgoing)
	if err != nil || s.req.first.last {
		return sent, err
	}
	s.pump.start(s.attempt.up)
	return sent, s.awaitAnswer()
}

// awaitAnswer reads more of the answer. While the request's body is still
// coming the read timeout is not counted: the pump has timeouts of its own.
func (s *sender) awaitAnswer() error {
	up := s.attempt.up
	for {
		err := up.wait()
		if err == nil || !s.pump.running || !errors.Is(err, os.ErrDeadlineExceeded) || s.broken() || s.times.overdue() {
			return err
		}
		now := s.server.Engine.Clock.Now()
		if !s.pump.ended() {
			s.times.limitReads(up, now)
		} else if until := s.pump.last.Load() + int64(s.x.Route.Read); until > now {
			up.ReadBy(earlier(until, s.times.end))
		} else {
			return err
		}
		if s.broken() {
			return os.ErrDeadlineExceeded // as if interrupted: it may be, any moment
		}
	}
}

// fill reads more of the answer.
func (s *sender) fill() error {
	if s.times.limitReads(s.attempt.up, s.server.Engine.Clock.Now()); s.broken() {
		return os.ErrDeadlineExceeded // as if interrupted: it may be, any moment
	}
	return s.awaitAnswer()
}

// broken reports whether the pump or the client has broken the exchange off.
func (s *sender) broken() bool { return s.pump.stopped.Load() != 0 || s.client.Gone() }

// sendFailed tells apart why no answer came, and whether the request may be
// sent again: when nothing of it can have been acted upon, or when a
// connection that was idle turned out dead and the method is idempotent.
func (s *sender) sendFailed(sent int, err error) attemptResult {
	outcome, detail := reason.UpstreamReset, resetDetail(err, "it closed the connection before it answered")
	up, pumped := s.attempt.up, s.pump.running
	var broken *msg.Error
	switch {
	case errors.As(err, &broken):
		outcome, detail = broken.Outcome, broken.Text
	case errors.Is(err, os.ErrDeadlineExceeded):
		outcome, detail = reason.UpstreamTimeout, s.times.lateness("no answer within the read timeout")
	case !pumped && (refusedUnseen(err) || up.reused() && (sent == 0 || s.x.MayRepeat())):
		if s.client.KeepOnHangup(up.Partner()) {
			up.close()
			s.attempt.up = nil
			s.x.Fail(outcome, detail)
			return attemptAgain
		}
	}
	if s.blame(outcome, detail); s.endAttempt() {
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

// blame leaves a failure in s.x with an outcome, unless it was the client, or
// the pump, that broke the exchange off: then with theirs.
func (s *sender) blame(outcome reason.Outcome, detail string) {
	if why, text, stopped := s.pump.why(); stopped {
		outcome, detail, s.x.Policy = why, text, s.pump.policy
	} else if s.client.Gone() {
		outcome, detail = whyGone(s.client)
	} else if outcome == reason.UpstreamReset && s.lateThere() {
		outcome, detail = reason.UpstreamTimeout, "the caller's deadline has passed at the backend"
	}
	s.x.Fail(outcome, detail)
}

// lateThere reports whether a backend may have ended a call because of its
// deadline.
func (s *sender) lateThere() bool {
	return s.req.call && s.times.deadline != 0 && s.times.late(s.times.deadline-int64(deadlineSlack))
}

// fail ends the work at the backend with an outcome.
func (s *sender) fail(outcome reason.Outcome, detail string) {
	s.blame(outcome, detail)
	s.drop()
}

// drop closes the connection to the backend and ends the pump.
func (s *sender) drop() {
	up := s.attempt.up
	if up == nil {
		return
	}
	s.client.KeepOnHangup(up.Partner())
	if !s.pump.ended() && s.pump.running {
		up.cut()
		s.pump.stop()
	}
	up.close()
	s.attempt.up = nil
}

// release gives the connection to the backend back, or closes it.
func (s *sender) release() {
	up := s.attempt.up
	if s.client.KeepOnHangup(up.Partner()) && s.pump.ended() && !s.pump.failed {
		up.release()
		s.attempt.up = nil
		return
	}
	s.drop()
}
