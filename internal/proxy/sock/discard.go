package sock

import "time"

// Discard bounds what is read and dropped of a request body after the response was
// sent. If its connection or stream is closed while a client still sends, the client
// may lose the response (RFC 9112 §9.6). Reading ends at whichever bound is reached
// first.
type Discard struct {
	// Bytes bounds the bytes that are read.
	Bytes int64
	// Time bounds the whole, and Pause the time in which nothing is received.
	Time, Pause time.Duration
}

// DefaultDiscard has nginx's times (lingering_time, lingering_timeout).
func DefaultDiscard() Discard {
	return Discard{Bytes: 64 << 20, Time: 30 * time.Second, Pause: 5 * time.Second}
}
