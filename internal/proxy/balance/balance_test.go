package balance

import (
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"windrose.dev/windrose/internal/model"
)

// loaded returns endpoints with the given numbers of requests under way.
func loaded(loads ...int64) []Endpoint {
	out := make([]Endpoint, len(loads))
	for i, n := range loads {
		out[i].Load = new(atomic.Int64)
		out[i].Load.Store(n)
	}
	return out
}

func TestRoundRobinTakesTurns(t *testing.T) {
	var state State
	p := New(model.RoundRobin, loaded(0, 0, 0), &state)
	counts := [3]int{}
	for range 301 {
		counts[p.Pick(nil)]++
	}
	if counts != [3]int{101, 100, 100} {
		t.Errorf("%v", counts)
	}
	if next := New(model.RoundRobin, loaded(0, 0, 0), &state).Pick(nil); next != 1 {
		t.Errorf("with other endpoints the turn is at %d, not 1", next)
	}
}

func TestLeastRequestAvoidsTheBusy(t *testing.T) {
	p := New(model.LeastRequest, loaded(5, 100, 0), nil)
	counts := [3]int{}
	for range 3000 {
		counts[p.Pick(rand.Uint64)]++
	}
	// The busiest endpoint is never the better of two. The least busy one always is,
	// and it is in two of the three pairs.
	if counts[1] != 0 || counts[2] < 1800 || counts[2] > 2200 {
		t.Errorf("%v", counts)
	}
	if New(model.LeastRequest, loaded(5), nil).Pick(nil) != 0 {
		t.Error("one endpoint is the only choice")
	}
}

// weighted returns endpoints with the given weights, each with load requests under way.
func weighted(load int64, weights ...uint32) []Endpoint {
	out := make([]Endpoint, len(weights))
	for i, w := range weights {
		out[i] = Endpoint{Load: new(atomic.Int64), Weight: w}
		out[i].Load.Store(load)
	}
	return out
}

func TestWeightedTurns(t *testing.T) {
	var state State
	p := New(model.RoundRobin, weighted(0, 1, 0, 6, 2), &state)
	counts, last, longest := [4]int{}, -1, 0
	for run, i := 0, 0; i < 1000; i++ {
		at := p.Pick(nil)
		counts[at]++
		if run++; at != last {
			last, run = at, 1
		}
		longest = max(longest, run)
	}
	for i, want := range [4]int{100, 100, 600, 200} {
		if d := counts[i] - want; d < -3 || d > 3 {
			t.Errorf("endpoint %d had %d turns of 1000, not %d", i, counts[i], want)
		}
	}
	if longest > 3 {
		t.Errorf("one endpoint had %d turns in a row", longest)
	}
}

func TestWeightedLeastRequest(t *testing.T) {
	idle, counts := New(model.LeastRequest, weighted(0, 1, 3), nil), [2]int{}
	draw := rand.New(rand.NewPCG(1, 2)).Uint64
	for range 8000 {
		counts[idle.Pick(draw)]++
	}
	// Both draws are the light endpoint in 1 of 16 cases. In all others the heavy one
	// is among them, and has fewer requests in proportion to its weight.
	if counts[0] < 400 || counts[0] > 600 {
		t.Errorf("%v", counts)
	}
	busy := weighted(0, 1, 3)
	busy[1].Load.Store(100)
	p, counts := New(model.LeastRequest, busy, nil), [2]int{}
	for range 8000 {
		counts[p.Pick(draw)]++
	}
	// The busy endpoint is taken only if both draws are the busy one: in 9 of 16 cases.
	if counts[1] < 4300 || counts[1] > 4700 {
		t.Errorf("%v", counts)
	}
}

// A compiled Picker picks without allocating, for any number of endpoints.
func BenchmarkPick(b *testing.B) {
	weights := make([]uint32, 10_000)
	for i := range weights {
		weights[i] = uint32(i%7) + 1
	}
	for name, policy := range map[string]model.Balance{"round-robin": model.RoundRobin, "least-request": model.LeastRequest} {
		b.Run(name, func(b *testing.B) {
			p := New(policy, weighted(0, weights...), &State{})
			b.ReportAllocs()
			for b.Loop() {
				p.Pick(rand.Uint64)
			}
		})
	}
}

// The same random number always gives the same choice.
func TestDrawsCanBeToldAgain(t *testing.T) {
	for _, seed := range []uint64{1, 2, 3} {
		var first []int
		for range 2 {
			draw := rand.New(rand.NewPCG(seed, 0)).Uint64
			p := New(model.LeastRequest, loaded(1, 2, 3, 4, 5), nil)
			got := []int{p.Pick(draw), p.Pick(draw), ByWeight([]uint32{1, 2, 3}, 6, draw())}
			if first == nil {
				first = got
			}
			for i := range got {
				if got[i] != first[i] {
					t.Errorf("%v, then %v", first, got)
				}
			}
		}
	}
}

func TestByWeight(t *testing.T) {
	counts := [3]int{}
	for range 10_000 {
		counts[ByWeight([]uint32{90, 0, 10}, 100, rand.Uint64())]++
	}
	if counts[1] != 0 || counts[0] < 8800 || counts[0] > 9200 {
		t.Errorf("%v", counts)
	}
	if ByWeight([]uint32{0, 0}, 0, 1) != -1 {
		t.Error("no weight, no choice")
	}
	for random, want := range map[uint64]int{0: 0, 1<<64 - 1: 2} {
		if got := ByWeight([]uint32{1, 0, 1}, 2, random); got != want {
			t.Errorf("%d draws %d, not %d", random, got, want)
		}
	}
}
