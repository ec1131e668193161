package http2

import (
	"time"

	"windrose.dev/windrose/internal/proxy/wire/budget"
)

// newBudgets returns the budgets of a connection. Well-behaved peers use very little of
// them: a browser resets the requests of a page that the user leaves, a gRPC client
// those that it cancels.
func newBudgets(now int64) budgets {
	return budgets{
		// Streams that ended by a reset, from either side: rapid reset
		// (CVE-2023-44487), and streams that the client makes us reset (CVE-2025-8671).
		// A stream that ends normally repays one.
		resets: budget.New(200, 50*time.Millisecond, now),
		// SETTINGS and PING, which require an acknowledgement. gRPC clients estimate
		// the bandwidth with one PING per round trip.
		settings: budget.New(100, 100*time.Millisecond, now),
		pings:    budget.New(10_000, 100*time.Microsecond, now),
		// Frames that do no work: empty DATA and CONTINUATION, PRIORITY, frames of
		// unknown type, and frames for streams that have ended. A stream that ends
		// normally repays some.
		idle: budget.New(2000, 2*time.Millisecond, now),
	}
}

type budgets struct{ resets, settings, pings, idle budget.Budget }

const (
	// lateFrames is the number of frames that may arrive for a stream that has ended.
	lateFrames = 8
	// maxControl bounds the acknowledgements of SETTINGS and PING, and the resets, that
	// are queued for a peer which does not read them, in bytes.
	maxControl = 32 << 10
	// maxContinuations bounds the frames of one header block.
	maxContinuations = 32
)
