package call

import (
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// Summary is the distribution of a run. Its JSON is what -o json prints.
type Summary struct {
	// Requests is how many were sent; it is less than asked for only when the
	// run was interrupted.
	Requests int            `json:"requests"`
	ByStatus map[string]int `json:"byStatus"`
	// ByPod counts the "pod" of answers in JSON, as the echo application
	// gives them; answers without one are not counted.
	ByPod map[string]int `json:"byPod"`
	// Errors is how many requests got no whole answer; ByError says why.
	Errors    int            `json:"errors"`
	ByError   map[string]int `json:"byError,omitempty"`
	LatencyMs Latency        `json:"latencyMs"`
}

// Latency is over answered requests, in milliseconds from the start of a
// request, connecting included, to the last byte of its answer.
type Latency struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
}

// tally counts as answers come in.
type tally struct {
	byStatus, byPod, byError map[string]int
	latencies                []time.Duration
	failed                   int
	// first are the first answer and the first error, for people.
	first      *Answer
	firstError error
}

func newTally() *tally {
	return &tally{byStatus: map[string]int{}, byPod: map[string]int{}, byError: map[string]int{}}
}

func (t *tally) add(answer *Answer, err error, latency time.Duration) {
	if err != nil {
		t.failed++
		t.byError[nameFailure(err)]++
		if t.firstError == nil {
			t.firstError = err
		}
		return
	}
	t.byStatus[strconv.Itoa(answer.Status)]++
	if pod := podOf(answer); pod != "" {
		t.byPod[pod]++
	}
	t.latencies = append(t.latencies, latency)
	if t.first == nil {
		t.first = answer
	}
}

// merge adds what another tally counted.
func (t *tally) merge(o *tally) {
	addCounts(t.byStatus, o.byStatus)
	addCounts(t.byPod, o.byPod)
	addCounts(t.byError, o.byError)
	t.latencies = append(t.latencies, o.latencies...)
	t.failed += o.failed
	if t.first == nil {
		t.first = o.first
	}
	if t.firstError == nil {
		t.firstError = o.firstError
	}
}

func addCounts(to, from map[string]int) {
	for key, n := range from {
		to[key] += n
	}
}

func (t *tally) summary() Summary {
	slices.Sort(t.latencies)
	return Summary{
		Requests: len(t.latencies) + t.failed,
		ByStatus: t.byStatus, ByPod: t.byPod,
		Errors: t.failed, ByError: t.byError,
		LatencyMs: Latency{P50: percentile(t.latencies, 50), P99: percentile(t.latencies, 99)},
	}
}

// percentile is by nearest rank, in milliseconds to the microsecond; 0 of
// nothing.
func percentile(sorted []time.Duration, percent int) float64 {
	if len(sorted) == 0 {
		return 0
	}
	rank := (len(sorted)*percent + 99) / 100
	value := sorted[max(rank, 1)-1]
	return math.Round(float64(value)/float64(time.Microsecond)) / 1000
}

// podOf is the pod that an answer names, or "".
func podOf(answer *Answer) string {
	if len(answer.Body) == 0 || answer.Body[0] != '{' || answer.Status == http.StatusSwitchingProtocols {
		return ""
	}
	var body struct {
		Pod string `json:"pod"`
	}
	if json.Unmarshal(answer.Body, &body) != nil {
		return ""
	}
	return body.Pod
}
