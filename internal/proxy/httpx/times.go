package httpx

import (
	"time"

	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/proxy/settings"
	"windrose.dev/windrose/internal/proxy/sock"
)

// times are those that an exchange must keep to, as its route has them. 0 is never.
type times struct {
	clock  *sock.Clock
	limits *settings.Limits
	route  *exchange.Route
	start  int64
	// When the exchange and the attempt must have ended, and the earlier of the two.
	deadline, attemptEnd, end int64
}

// earlier is the earlier of two times on the clock, of which 0 is never.
func earlier(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// late reports whether a time has passed.
func (t *times) late(end int64) bool { return end != 0 && t.clock.Now() >= end }

// bound has the exchange end within a time from now on; 0 does not bound it.
func (t *times) bound(limit time.Duration) {
	if limit > 0 {
		t.deadline = t.clock.Now() + int64(limit)
	}
}

// beginAttempt starts the time of an attempt.
func (t *times) beginAttempt(now int64) {
	t.attemptEnd = 0
	if limit := t.route.Attempt; limit > 0 {
		t.attemptEnd = now + int64(limit)
	}
	t.end = earlier(t.deadline, t.attemptEnd)
}

// overdue reports whether the attempt, or the exchange, has taken too long.
func (t *times) overdue() bool { return t.late(t.end) }

// lateness says which of the bounds was passed; otherwise is the one that holds
// where the rule has none.
func (t *times) lateness(otherwise string) string {
	switch {
	case t.late(t.deadline):
		return "the timeout of the rule, or of the caller, has passed"
	case t.late(t.attemptEnd):
		return "the rule's timeout of one attempt has passed"
	}
	return otherwise
}

// connectLimit is how long a connection may take to be made.
func (t *times) connectLimit(now int64) time.Duration {
	limit := t.route.Connect
	if t.end != 0 {
		limit = max(min(limit, time.Duration(t.end-now)), 0)
	}
	return limit
}

// limitReads bounds the reads of the answer from now on.
func (t *times) limitReads(up timed, now int64) {
	if limit := t.route.Read; t.end == 0 || t.end > now+int64(limit) {
		up.LimitReads(now, limit)
		return
	}
	up.ReadBy(t.end)
}

// limitWrites bounds the writes of the request from now on.
func (t *times) limitWrites(up timed, now int64) {
	if limit := t.route.Send; t.end == 0 || t.end > now+int64(limit) {
		up.LimitWrites(now, limit)
		return
	}
	up.WriteBy(t.end)
}

// limitBody bounds the reads of the request's body.
func (t *times) limitBody(c timed) {
	now := t.clock.Now()
	if limit := t.limits.BodyTimeout; t.deadline == 0 || t.deadline > now+int64(limit) {
		c.LimitReads(now, limit)
		return
	}
	c.ReadBy(t.deadline)
}

// limitAnswer bounds the writes to the client. An answer of our own may come
// when the exchange's time is over.
func (t *times) limitAnswer(c timed, own bool) {
	now := t.clock.Now()
	if limit := t.limits.BodyTimeout; t.end == 0 || own || t.end > now+int64(limit) {
		c.LimitWrites(now, limit)
		return
	}
	c.WriteBy(t.end)
}
