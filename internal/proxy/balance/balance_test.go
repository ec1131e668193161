package balance

import (
	"testing"

	"windrose.dev/windrose/internal/model"
)

func TestRoundRobinTakesTurns(t *testing.T) {
	p := New(model.RoundRobin)
	counts := [3]int{}
	for range 300 {
		counts[p.Pick(3, nil)]++
	}
	if counts != [3]int{100, 100, 100} {
		t.Errorf("%v", counts)
	}
}

func TestLeastRequestAvoidsTheBusy(t *testing.T) {
	p := New(model.LeastRequest)
	counts := [3]int{}
	load := func(i int) int64 { return []int64{5, 100, 0}[i] }
	for range 3000 {
		counts[p.Pick(3, load)]++
	}
	// The busiest is never the better of two; the idlest always is: it is in
	// two of the three pairs.
	if counts[1] != 0 || counts[2] < 1800 || counts[2] > 2200 {
		t.Errorf("%v", counts)
	}
	if p.Pick(1, load) != 0 {
		t.Error("one endpoint is the only choice")
	}
}

func TestByWeight(t *testing.T) {
	counts := [3]int{}
	for range 10_000 {
		counts[ByWeight([]uint32{90, 0, 10}, 100)]++
	}
	if counts[1] != 0 || counts[0] < 8800 || counts[0] > 9200 {
		t.Errorf("%v", counts)
	}
	if ByWeight([]uint32{0, 0}, 0) != -1 {
		t.Error("no weight, no choice")
	}
}
