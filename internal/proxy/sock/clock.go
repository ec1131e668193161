package sock

import "time"

// Clock returns times as nanoseconds since it was made: one number that is cheap to
// read, compare and store.
type Clock struct{ base time.Time }

// NewClock returns a Clock that starts at 1, so that 0 can stand for "never".
func NewClock() *Clock { return &Clock{time.Now().Add(-1)} }

// Now returns the current time on the clock, which is monotonic.
func (c *Clock) Now() int64 { return int64(time.Since(c.base)) }

// Time converts a time on the clock to wall time.
func (c *Clock) Time(at int64) time.Time { return c.base.Add(time.Duration(at)) }
