package sock

import "time"

// Clock tells time as nanoseconds since it was made: one number that is cheap
// to read, compare and keep.
type Clock struct{ base time.Time }

// NewClock starts a Clock at 1, so that 0 can stand for "never".
func NewClock() *Clock { return &Clock{time.Now().Add(-1)} }

// Now is the time on the clock, monotonic.
func (c *Clock) Now() int64 { return int64(time.Since(c.base)) }

// Time converts a reading to wall time.
func (c *Clock) Time(at int64) time.Time { return c.base.Add(time.Duration(at)) }
