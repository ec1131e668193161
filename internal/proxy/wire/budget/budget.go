// Package budget bounds how often a peer may do what costs us more than it.
package budget

import "time"

// Budget is so many at once, and one more in each interval. It is not safe for
// concurrent use.
type Budget struct {
	most  int64
	every time.Duration
	used  int64
	since int64 // when used was last lowered
}

// New makes a Budget that is full. now is in nanoseconds.
func New(most int64, every time.Duration, now int64) Budget {
	return Budget{most: most, every: every, since: now}
}

// Spend takes one. It returns false when there is none left. now is in
// nanoseconds.
func (b *Budget) Spend(now int64) bool {
	if gained := (now - b.since) / int64(b.every); gained > 0 {
		b.used = max(b.used-gained, 0)
		b.since += gained * int64(b.every)
	}
	b.used++
	return b.used <= b.most
}

// Repay gives n back.
func (b *Budget) Repay(n int64) { b.used = max(b.used-n, 0) }
