package sock

import "time"

// Discard bounds what is read and dropped of a request that was answered before its
// end. A client that is still sending, and whose connection or stream is closed
// under it, may lose the answer (RFC 9112 §9.6). Any of the bounds ends it.
type Discard struct {
	// Bytes is how much is read.
	Bytes int64
	// Time is how long that may take, and Pause how long nothing may come.
	Time, Pause time.Duration
}

// DefaultDiscard has nginx's times (lingering_time, lingering_timeout).
func DefaultDiscard() Discard {
	return Discard{Bytes: 64 << 20, Time: 30 * time.Second, Pause: 5 * time.Second}
}
