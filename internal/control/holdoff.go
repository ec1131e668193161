package control

import (
	"context"
	"time"
)

// Holdoff gathers a burst of marks into one call: it fires once no mark came
// for a while, or once the first mark has waited long enough.
type Holdoff struct {
	quiet, most time.Duration
	marks       chan struct{}
}

// NewHoldoff makes a Holdoff that fires when quiet has passed since the last
// mark, and at the latest when most has passed since the first. Windrose uses
// 10 ms and 100 ms.
func NewHoldoff(quiet, most time.Duration) *Holdoff {
	return &Holdoff{quiet, most, make(chan struct{}, 1)}
}

// Mark says that something happened. It never blocks and may be called from
// anywhere.
func (h *Holdoff) Mark() {
	select {
	case h.marks <- struct{}{}:
	default: // one that nobody has seen yet is as good as two
	}
}

// Run calls fire after each burst, until ctx ends. Marks that come during fire
// lead to another call.
func (h *Holdoff) Run(ctx context.Context, fire func()) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.marks:
		}
		if !h.settle(ctx) {
			return
		}
		fire()
	}
}

// settle waits for the end of a burst. It returns false if ctx ends first.
func (h *Holdoff) settle(ctx context.Context) bool {
	quiet, most := time.NewTimer(h.quiet), time.NewTimer(h.most)
	defer quiet.Stop()
	defer most.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-h.marks:
			quiet.Reset(h.quiet)
		case <-quiet.C:
			return true
		case <-most.C:
			return true
		}
	}
}
