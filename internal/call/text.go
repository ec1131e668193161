package call

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
)

// WriteText prints a Result for people: the response itself if there was one request,
// then the distribution. withHeaders adds the response's header fields.
func WriteText(w io.Writer, r Result, withHeaders Headers) error {
	var out bytes.Buffer
	if r.Requests == 1 && r.First != nil {
		writeAnswer(&out, r.First, withHeaders)
	}
	writeTable(&out, r)
	if r.First != nil {
		if location := r.First.Header.Get("Location"); location != "" && r.First.Status/100 == 3 {
			fmt.Fprintf(&out, "not followed: Location: %s\n", location)
		}
	}
	if r.FirstError != nil {
		fmt.Fprintf(&out, "first error: %v\n", r.FirstError)
	}
	_, err := w.Write(out.Bytes())
	return err
}

// Headers says whether header fields are printed.
type Headers uint8

const (
	// WithoutHeaders prints the status line and the body.
	WithoutHeaders Headers = iota
	// WithHeaders also prints the header fields.
	WithHeaders
)

func writeAnswer(out *bytes.Buffer, a *Answer, headers Headers) {
	fmt.Fprintf(out, "%s %s\n", a.Proto, a.StatusText)
	if headers == WithHeaders {
		for _, name := range slices.Sorted(maps.Keys(a.Header)) {
			for _, value := range a.Header[name] {
				fmt.Fprintf(out, "%s: %s\n", name, value)
			}
		}
	}
	out.WriteByte('\n')
	out.Write(a.Body)
	if len(a.Body) > 0 && a.Body[len(a.Body)-1] != '\n' {
		out.WriteByte('\n')
	}
	if left := a.Size - int64(len(a.Body)); left > 0 {
		fmt.Fprintf(out, "(%d bytes more)\n", left)
	}
	out.WriteByte('\n')
}

func writeTable(out *bytes.Buffer, r Result) {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	defer table.Flush()
	fmt.Fprintf(table, "requests\t%d\n", r.Requests)
	fmt.Fprintf(table, "errors\t%d\n", r.Errors)
	writeCounts(table, "status", r.ByStatus, r.Requests)
	writeCounts(table, "pod", r.ByPod, r.Requests)
	writeCounts(table, "error", r.ByError, r.Requests)
	if r.Requests > r.Errors {
		fmt.Fprintf(table, "latency p50\t%.3f ms\n", r.LatencyMs.P50)
		fmt.Fprintf(table, "latency p99\t%.3f ms\n", r.LatencyMs.P99)
	}
}

func writeCounts(table io.Writer, what string, counts map[string]int, all int) {
	for _, key := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(table, "%s %s\t%d\t%.1f %%\n", what, key, counts[key], 100*float64(counts[key])/float64(all))
	}
}
