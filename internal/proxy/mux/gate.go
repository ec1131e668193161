package mux

import "math"

// gate lets one goroutine wait for a signal. Whoever signals holds the connection's
// mutex.
type gate struct {
	waiting bool
	open    chan struct{} // has capacity 1
	until   int64         // the deadline of the wait, on the clock
}

func newGate() gate { return gate{open: make(chan struct{}, 1), until: math.MaxInt64} }

// signal ends the wait, if there is one. The mutex is held.
func (g *gate) signal() {
	if g.waiting {
		g.waiting = false
		g.open <- struct{}{}
	}
}
