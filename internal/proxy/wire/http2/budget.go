package http2

import (
	"time"

	"windrose.dev/windrose/internal/proxy/wire/budget"
)

// The budgets of a connection. Well-behaved peers use next to nothing of them:
// a browser resets the requests of a page that is left, a gRPC client those
// that it cancels.
func newBudgets(now int64) budgets {
	return budgets{
		// Streams that ended by a reset, whoever's: rapid reset (CVE-2023-44487)
		// and streams that the client has us reset (CVE-2025-8671). One that ends
		// well repays one.
		resets: budget.New(200, 50*time.Millisecond, now),
		// SETTINGS and PING, which ask for an answer. Clients of gRPC estimate the
		// bandwidth by a PING a round trip.
		settings: budget.New(100, 100*time.Millisecond, now),
		pings:    budget.New(10_000, 100*time.Microsecond, now),
		// Frames that move nothing: empty DATA and CONTINUATION, PRIORITY, what is
		// unknown, and what comes for streams that are over. A stream that ends well
		// repays some.
		idle: budget.New(2000, 2*time.Millisecond, now),
	}
}

type budgets struct{ resets, settings, pings, idle budget.Budget }

const (
	// lateFrames is how many frames may come for a stream that is over.
	lateFrames = 8
	// maxControl bounds the answers to SETTINGS and PING, and our resets, that
	// a peer has us queue without reading them, in bytes.
	maxControl = 32 << 10
	// maxContinuations bounds the frames of one header block.
	maxContinuations = 32
)
