// Package balance chooses one of several endpoints. It does no I/O. A [Picker] is
// compiled for a list of endpoints, with what it needs to choose among them in at most
// logarithmic time, and compiled again when the list changes. Its [State] outlives such
// changes. Random numbers come from the caller, so that a choice can be reproduced.
package balance

import (
	"math/bits"
	"sort"
	"sync/atomic"

	"windrose.dev/windrose/internal/model"
)

// Endpoint describes an endpoint to a Picker.
type Endpoint struct {
	// Load is the number of requests under way.
	Load *atomic.Int64
	// Weight is its share, relative to the others; 0 counts as 1.
	Weight uint32
}

func (e *Endpoint) weight() uint64 { return uint64(max(e.Weight, 1)) }

// State is what a policy keeps when the endpoints change. The zero value is the initial
// state.
type State struct{ next atomic.Uint64 }

// Picker chooses an endpoint, and returns its index in the list that the Picker was
// made for. draw returns random numbers. A Picker may be used by many goroutines.
type Picker interface {
	Pick(draw func() uint64) int
}

// New compiles the Picker of a policy. Without endpoints it must not be used.
func New(policy model.Balance, endpoints []Endpoint, state *State) Picker {
	shares := newShares(endpoints)
	switch {
	case policy == model.LeastRequest && shares == nil:
		return leastRequest(endpoints)
	case policy == model.LeastRequest:
		return &weightedLeastRequest{endpoints, shares}
	case shares != nil:
		return &weightedRoundRobin{shares, state}
	}
	return &roundRobin{uint64(len(endpoints)), state}
}

// shares are the cumulative weights of the endpoints. It is nil if all weights are
// equal.
type shares []uint64

func newShares(endpoints []Endpoint) shares {
	same, sums, sum := true, make(shares, len(endpoints)), uint64(0)
	for i := range endpoints {
		same = same && endpoints[i].weight() == endpoints[0].weight()
		sum += endpoints[i].weight()
		sums[i] = sum
	}
	if same {
		return nil
	}
	return sums
}

// at returns the endpoint at a place in the range of 64-bit numbers, in O(log n).
func (s shares) at(place uint64) int {
	high, _ := bits.Mul64(place, s[len(s)-1])
	return sort.Search(len(s), func(i int) bool { return s[i] > high })
}

// roundRobin takes the endpoints in turn.
type roundRobin struct {
	n     uint64
	state *State
}

func (p *roundRobin) Pick(func() uint64) int { return int((p.state.next.Add(1) - 1) % p.n) }

// weightedRoundRobin steps through the range by the golden ratio: each endpoint is
// chosen in proportion to its weight, and its turns are spread out (Knuth, The Art of
// Computer Programming 3, §6.4: the points of a Fibonacci hash).
type weightedRoundRobin struct {
	shares shares
	state  *State
}

const goldenRatio = 0x9e3779b97f4a7c15 // of 2^64

func (p *weightedRoundRobin) Pick(func() uint64) int {
	return p.shares.at((p.state.next.Add(1) - 1) * goldenRatio)
}

// leastRequest draws two endpoints at random and takes the one with fewer requests
// under way (Mitzenmacher, The Power of Two Choices in Randomized Load Balancing).
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

// weightedLeastRequest draws two endpoints by weight, and takes the one with fewer
// requests in proportion to its weight.
type weightedLeastRequest struct {
	endpoints []Endpoint
	shares    shares
}

func (p *weightedLeastRequest) Pick(draw func() uint64) int {
	a, b := p.shares.at(draw()), p.shares.at(draw())
	x, y := &p.endpoints[a], &p.endpoints[b]
	if uint64(y.Load.Load()+1)*x.weight() < uint64(x.Load.Load()+1)*y.weight() {
		return b
	}
	return a
}

// below maps a random number to one below n, for any n that fits into memory (Lemire,
// Fast Random Integer Generation in an Interval, without its last step: the bias that
// the step corrects is less than n in 2^64).
func below(random uint64, n int) int {
	high, _ := bits.Mul64(random, uint64(n))
	return int(high)
}

// ByWeight returns a random index: each has the probability of its weight divided by
// total, which is the sum of the weights. It returns -1 if all weights are 0.
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
