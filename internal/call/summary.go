package call

import (
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// Summary is the distribution of a run. Its JSON form is what -o json prints.
type Summary struct {
	// Requests is the number of requests sent. It is less than asked for only if the run
	// was interrupted.
	Requests int            `json:"requests"`
	ByStatus map[string]int `json:"byStatus"`
	// ByPod counts the "pod" member of JSON responses, as the echo application writes
	// them; responses without one are not counted.
	ByPod map[string]int `json:"byPod"`
	// Errors is the number of requests without a complete response; ByError says why.
	Errors    int            `json:"errors"`
	ByError   map[string]int `json:"byError,omitempty"`
	LatencyMs Latency        `json:"latencyMs"`
}

// Latency is over requests that got a response, in milliseconds from the start of the
// request (connecting included) to the last byte of its response.
type Latency struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
}

// tally counts responses and errors as they come in.
type tally struct {
	byStatus, byPod, byError map[string]int
	latencies                []time.Duration
	failed                   int
	// The first response and the first error, printed for people.
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

// merge adds the counts of another tally.
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

// percentile returns the percentile by nearest rank, in milliseconds with a resolution of
// a microsecond; 0 if sorted is empty.
func percentile(sorted []time.Duration, percent int) float64 {
	if len(sorted) == 0 {
		return 0
	}
	rank := (len(sorted)*percent + 99) / 100
	value := sorted[max(rank, 1)-1]
	return math.Round(float64(value)/float64(time.Microsecond)) / 1000
}

// podOf returns the pod that a response names, or "".
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
