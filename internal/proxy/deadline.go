package proxy

import "time"

// earlier is the earlier of two times on the clock, of which 0 is never.
func earlier(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// late tells whether a time has passed; 0 never does.
func (t *transfer) late(end int64) bool { return end != 0 && t.proxy.clock.Now() >= end }

// begin starts the time of an attempt.
func (t *transfer) begin(now int64) {
	t.attemptEnd = 0
	if limit := t.x.Route.Attempt; limit > 0 {
		t.attemptEnd = now + int64(limit)
	}
	t.end = earlier(t.deadline, t.attemptEnd)
}

// overdue tells whether the attempt, or the exchange, has taken too long.
func (t *transfer) overdue() bool { return t.late(t.end) }

// lateness says which of the bounds was passed; otherwise is the one that holds
// where the rule has none.
func (t *transfer) lateness(otherwise string) string {
	switch {
	case t.late(t.deadline):
		return "the timeout of the rule, or of the caller, has passed"
	case t.late(t.attemptEnd):
		return "the rule's timeout of one attempt has passed"
	}
	return otherwise
}

// connectLimit is how long a connection may take to be made.
func (t *transfer) connectLimit(now int64) time.Duration {
	limit := t.x.Route.Connect
	if t.end != 0 {
		limit = max(min(limit, time.Duration(t.end-now)), 0)
	}
	return limit
}

// limitReads bounds the reads of the answer.
func (t *transfer) limitReads(now int64) {
	if limit := t.x.Route.Read; t.end == 0 || t.end > now+int64(limit) {
		t.up.LimitReads(now, limit)
		return
	}
	t.up.ReadBy(t.end)
}

// limitWrites bounds the writes of the request.
func (t *transfer) limitWrites(now int64) {
	if limit := t.x.Route.Send; t.end == 0 || t.end > now+int64(limit) {
		t.up.LimitWrites(now, limit)
		return
	}
	t.up.WriteBy(t.end)
}

// limitBody bounds the reads of the request's body.
func (t *transfer) limitBody(now int64) {
	if limit := t.proxy.cfg.Limits.BodyTimeout; t.deadline == 0 || t.deadline > now+int64(limit) {
		t.client.LimitReads(now, limit)
		return
	}
	t.client.ReadBy(t.deadline)
}

// limitAnswer bounds the writes to the client. An answer of our own may come
// when the exchange's time is over.
func (t *transfer) limitAnswer(now int64) {
	if limit := t.proxy.cfg.Limits.BodyTimeout; t.end == 0 || t.x.Answered || t.end > now+int64(limit) {
		t.client.LimitWrites(now, limit)
		return
	}
	t.client.WriteBy(t.end)
}
