package standalone

import "time"

const (
	firstDelay = 100 * time.Millisecond
	maxDelay   = 10 * time.Second
	// stableAfter is how long a program must have run for its backoff to start anew.
	stableAfter = 10 * time.Second
)

// backoff says how long to wait before an ended program is restarted. The zero value is
// that of a program that has never ended.
type backoff struct{ last time.Duration }

// after returns the state after a program that ran for alive has ended. The delay doubles
// from one end to the next.
func (b backoff) after(alive time.Duration) backoff {
	if b.last == 0 || alive >= stableAfter {
		return backoff{firstDelay}
	}
	return backoff{min(2*b.last, maxDelay)}
}

// delay returns the time to wait.
func (b backoff) delay() time.Duration { return b.last }
