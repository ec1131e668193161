// Package balance chooses one of several endpoints. It does no I/O: a [Picker] is
// compiled for a list of endpoints, with what it needs to choose among them in constant
// time, and made anew when the list changes. What is to outlive that is its [State].
// Chance comes from outside, so that a choice can be told again.
package balance

import (
	"math/bits"
	"sync/atomic"

	"windrose.dev/windrose/internal/model"
)

// Endpoint is what a Picker knows of an endpoint.
type Endpoint struct {
	// Load is the number of requests under way.
	Load *atomic.Int64
}

// State is what a policy keeps when the endpoints change. Its zero value is at the
// start.
type State struct{ next atomic.Uint64 }

// Picker chooses an endpoint, by its place in the list that the Picker was made for.
// draw gives random numbers. Pickers may be used by many goroutines.
type Picker interface {
	Pick(draw func() uint64) int
}

// New compiles the Picker of a policy. Without endpoints it must not be asked.
func New(policy model.Balance, endpoints []Endpoint, state *State) Picker {
	if policy == model.LeastRequest {
		return leastRequest(endpoints)
	}
	return &roundRobin{uint64(len(endpoints)), state}
}

// roundRobin takes the endpoints in turn.
type roundRobin struct {
	n     uint64
	state *State
}

func (p *roundRobin) Pick(func() uint64) int { return int((p.state.next.Add(1) - 1) % p.n) }

// leastRequest takes the less busy of two that are drawn at random
// (Mitzenmacher, The Power of Two Choices in Randomized Load Balancing).
type leastRequest []Endpoint

func (p leastRequest) Pick(draw func() uint64) int {
	if len(p) == 1 {
		return 0
	}
	a, b := below(draw(), len(p)), below(draw(), len(p)-1)
	if b >= a {
		b++
	}
	if p[b].Load.Load() < p[a].Load.Load() {
		return b
	}
	return a
}

// below makes a number below n of a random one, for any n that fits into memory
// (Lemire, Fast Random Integer Generation in an Interval, without its last step: what
// that corrects is less than n in 2^64).
func below(random uint64, n int) int {
	high, _ := bits.Mul64(random, uint64(n))
	return int(high)
}

// ByWeight draws an index with the probability of its weight among all, of which total
// is the sum. It returns -1 when all weights are 0.
func ByWeight(weights []uint32, total uint64, random uint64) int {
	if total == 0 {
		return -1
	}
	draw, _ := bits.Mul64(random, total)
	for i, w := range weights {
		if draw < uint64(w) {
			return i
		}
		draw -= uint64(w)
	}
	return -1
}
