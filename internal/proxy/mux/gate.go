package mux

import "math"

// gate is where one goroutine waits for what another, with the connection's
// mutex, brings about.
type gate struct {
	waiting bool
	open    chan struct{} // has room for one
	until   int64         // on the clock; the wait ends then
}

func newGate() gate { return gate{open: make(chan struct{}, 1), until: math.MaxInt64} }

// signal ends the wait, if there is one. The mutex is held.
func (g *gate) signal() {
	if g.waiting {
		g.waiting = false
		g.open <- struct{}{}
	}
}
