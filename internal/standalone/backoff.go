package standalone

import "time"

const (
	firstDelay = 100 * time.Millisecond
	maxDelay   = 10 * time.Second
	// stableAfter is how long a program must have lived for its end to count
	// as the first one again.
	stableAfter = 10 * time.Second
)

// backoff says how long to wait before a program that ended is started again.
// The zero value is that of a program that never ended.
type backoff struct{ last time.Duration }

// after returns the state after a program ended that had lived for alive. Its
// delay doubles from end to end.
func (b backoff) after(alive time.Duration) backoff {
	if b.last == 0 || alive >= stableAfter {
		return backoff{firstDelay}
	}
	return backoff{min(2*b.last, maxDelay)}
}

// delay is the time to wait now.
func (b backoff) delay() time.Duration { return b.last }
