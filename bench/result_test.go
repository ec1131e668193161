package main

import (
	"strings"
	"testing"
	"time"

	"windrose.dev/windrose/bench/rig"
)

func TestRatesAgainstTheBetterPeer(t *testing.T) {
	rows := rated([]Row{
		{Proxy: "nginx", CPU: 20}, {Proxy: "haproxy", CPU: 16}, {Proxy: ours, CPU: 24}, {Proxy: ours + ", log on", CPU: 12},
	}, 1.25)
	for i, want := range []float64{1.25, 1, 1.5, 0.75} {
		if rows[i].Ratio != want {
			t.Errorf("%s: ratio %g, want %g", rows[i].Proxy, rows[i].Ratio, want)
		}
	}
	result := Result{Rows: rows}
	if text := result.text(); strings.Count(text, "MISSED") != 1 {
		t.Errorf("one row has a budget and misses it, but the table is\n%s", text)
	}
}

func TestKeepsTheBestRound(t *testing.T) {
	rows := newRows(load{}, &field{all: []*contender{{name: ours}}})
	for _, round := range []rig.Load{
		{Requests: 1000, PerSecond: 10, P50: 2 * time.Millisecond, P99: 8 * time.Millisecond, Failed: 1},
		{Requests: 2000, PerSecond: 20, P50: time.Millisecond, P99: 9 * time.Millisecond, Failed: 2},
	} {
		rows[0].keep(round, 20*time.Millisecond, 1<<20)
	}
	want := Row{Proxy: ours, CPU: 10, PerSecond: 20, P50: 1, P99: 8, RSS: 1, Failed: 3}
	if rows[0] != want {
		t.Errorf("got %+v, want %+v", rows[0], want)
	}
}

func TestPercentile(t *testing.T) {
	times := make([]time.Duration, 100)
	for i := range times {
		times[i] = time.Duration(i + 1)
	}
	for p, want := range map[int]time.Duration{1: 1, 50: 50, 99: 99, 100: 100} {
		if got := percentile(times, p); got != want {
			t.Errorf("percentile %d is %d, want %d", p, got, want)
		}
	}
	if got := percentile(times[:1], 50); got != 1 {
		t.Errorf("the median of one is %d", got)
	}
}
