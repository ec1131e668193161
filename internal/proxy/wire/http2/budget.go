package http2

import "time"

// budget bounds how often a peer may do what costs us more than it: so many at
// once, and one more in each interval.
type budget struct {
	most  int64
	every time.Duration
	used  int64
	since int64 // when used was last lowered
}

// spend takes one. It returns false when there is none left. now is in
// nanoseconds.
func (b *budget) spend(now int64) bool {
	if gained := (now - b.since) / int64(b.every); gained > 0 {
		b.used = max(b.used-gained, 0)
		b.since += gained * int64(b.every)
	}
	b.used++
	return b.used <= b.most
}

// repay gives n back.
func (b *budget) repay(n int64) { b.used = max(b.used-n, 0) }

// The budgets of a connection. Well-behaved peers use next to nothing of them:
// a browser resets the requests of a page that is left, a gRPC client those
// that it cancels.
func newBudgets() budgets {
	return budgets{
		// Streams that ended by a reset, whoever's: rapid reset (CVE-2023-44487)
		// and streams that the client has us reset (CVE-2025-8671). One that ends
		// well repays one.
		resets: budget{most: 200, every: 50 * time.Millisecond},
		// SETTINGS and PING, which ask for an answer. Clients of gRPC estimate the
		// bandwidth by a PING a round trip.
		settings: budget{most: 100, every: 100 * time.Millisecond},
		pings:    budget{most: 10_000, every: 100 * time.Microsecond},
		// Frames that move nothing: empty DATA and CONTINUATION, PRIORITY, what is
		// unknown, and what comes for streams that are over. A stream that ends well
		// repays some.
		idle: budget{most: 2000, every: 2 * time.Millisecond},
	}
}

type budgets struct{ resets, settings, pings, idle budget }

const (
	// lateFrames is how many frames may come for a stream that is over.
	lateFrames = 8
	// maxControl bounds the answers to SETTINGS and PING, and our resets, that
	// a peer has us queue without reading them, in bytes.
	maxControl = 32 << 10
	// maxContinuations bounds the frames of one header block.
	maxContinuations = 32
)
