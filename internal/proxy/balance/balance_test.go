package balance

import (
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"windrose.dev/windrose/internal/model"
)

// loaded are endpoints with so many requests under way.
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
	// The busiest is never the better of two; the idlest always is: it is in
	// two of the three pairs.
	if counts[1] != 0 || counts[2] < 1800 || counts[2] > 2200 {
		t.Errorf("%v", counts)
	}
	if New(model.LeastRequest, loaded(5), nil).Pick(nil) != 0 {
		t.Error("one endpoint is the only choice")
	}
}

// One number is one choice: whoever knows the draw can say what came of it.
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
