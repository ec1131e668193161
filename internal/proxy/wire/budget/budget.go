// Package budget bounds how often a peer may do what costs us more than it costs the
// peer.
package budget

import "time"

// Budget is a token bucket: a number of uses at once, and one more after each interval.
// It is not safe for concurrent use.
type Budget struct {
	most  int64
	every time.Duration
	used  int64
	since int64 // when used was last lowered, in nanoseconds
}

// New returns a full Budget. now is in nanoseconds.
func New(most int64, every time.Duration, now int64) Budget {
	return Budget{most: most, every: every, since: now}
}

// Spend takes one use. It returns false if none is left. now is in nanoseconds.
func (b *Budget) Spend(now int64) bool {
	if gained := (now - b.since) / int64(b.every); gained > 0 {
		b.used = max(b.used-gained, 0)
		b.since += gained * int64(b.every)
	}
	b.used++
	return b.used <= b.most
}

// Repay returns n uses.
func (b *Budget) Repay(n int64) { b.used = max(b.used-n, 0) }
