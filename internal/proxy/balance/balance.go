// Package balance chooses one of several endpoints. It does no I/O and holds
// no endpoints: a [Picker] sees how many there are and, where it asks, how busy
// each is. It is called for each attempt of each request, from many
// goroutines.
package balance

import (
	"math/rand/v2"
	"sync/atomic"

	"windrose.dev/windrose/internal/model"
)

// Picker chooses among n endpoints, n at least 1. load returns the number of
// requests that endpoint i has under way. Pickers are safe for concurrent use.
type Picker interface {
	Pick(n int, load func(i int) int64) int
}

// New returns the Picker for a policy.
func New(policy model.Balance) Picker {
	if policy == model.LeastRequest {
		return leastRequest{}
	}
	return &roundRobin{}
}

// roundRobin takes the endpoints in turn.
type roundRobin struct{ next atomic.Uint64 }

func (p *roundRobin) Pick(n int, _ func(int) int64) int {
	return int((p.next.Add(1) - 1) % uint64(n))
}

// leastRequest takes the less busy of two that are drawn at random
// (Mitzenmacher, The Power of Two Choices in Randomized Load Balancing).
type leastRequest struct{}

func (leastRequest) Pick(n int, load func(int) int64) int {
	if n == 1 {
		return 0
	}
	a := rand.IntN(n)
	b := rand.IntN(n - 1)
	if b >= a {
		b++
	}
	if load(b) < load(a) {
		return b
	}
	return a
}

// ByWeight draws an index with the probability of its weight among all. It
// returns -1 when all weights are 0.
func ByWeight(weights []uint32, total uint64) int {
	if total == 0 {
		return -1
	}
	draw := rand.Uint64N(total)
	for i, w := range weights {
		if draw < uint64(w) {
			return i
		}
		draw -= uint64(w)
	}
	return -1
}
