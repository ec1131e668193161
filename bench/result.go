package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"
)

// Result holds all measurements.
type Result struct {
	Time     time.Time `json:"time"`
	CPUs     int       `json:"cpus"`
	Go       string    `json:"go"`
	Rounds   int       `json:"rounds"`
	Duration string    `json:"duration"`
	// LoadBefore is the machine's load average before the benchmark: well below 1 on a
	// machine that does nothing else.
	LoadBefore string `json:"loadBefore"`
	// Missing are programs that are not installed; LeftOut are the sections that were not
	// measured because of that.
	Missing []string `json:"missing,omitempty"`
	LeftOut []string `json:"leftOut,omitempty"`
	Rows    []Row    `json:"rows,omitempty"`
	Figures []Figure `json:"figures,omitempty"`
}

// Row is one proxy under one load, in the best of all rounds.
type Row struct {
	Load  string `json:"load"`
	Proxy string `json:"proxy"`
	// CPU is CPU time per request, in µs.
	CPU float64 `json:"cpuMicros"`
	// Ratio is CPU divided by that of the better peer; 0 without a peer.
	Ratio     float64 `json:"ratio,omitempty"`
	PerSecond float64 `json:"perSecond"`
	P50       float64 `json:"p50Millis"`
	P99       float64 `json:"p99Millis"`
	// RSS is resident memory after the load, in MB.
	RSS float64 `json:"rssMB"`
	// Failed and Late are those of rig.Load, over all rounds.
	Failed int64 `json:"failed"`
	Late   int64 `json:"late"`
	// Budget bounds Ratio; 0 is none.
	Budget float64 `json:"budget,omitempty"`
}

// Figure is a single number.
type Figure struct {
	Section string  `json:"section"`
	Name    string  `json:"name"`
	Value   float64 `json:"value"`
	Unit    string  `json:"unit"`
	// Budget bounds Value from above, or with AtLeast from below; 0 is none.
	Budget  float64 `json:"budget,omitempty"`
	AtLeast bool    `json:"atLeast,omitempty"`
	Note    string  `json:"note,omitempty"`
}

func newResult(o options) Result {
	return Result{
		Time: time.Now().UTC().Truncate(time.Second), CPUs: runtime.NumCPU(), Go: runtime.Version(),
		Rounds: o.rounds, Duration: o.duration.String(), LoadBefore: loadAverage(),
	}
}

// loadAverage returns the load average of the last minute.
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	average, _, _ := strings.Cut(string(text), " ")
	return average
}

func (b *bench) figure(f Figure) { b.result.Figures = append(b.result.Figures, f) }

func (r *Result) write(out io.Writer, format string) error {
	if format == "json" {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		return enc.Encode(r)
	}
	_, err := io.WriteString(out, r.text())
	return err
}

const method = `Each proxy alone on CPU 0, wrk -t1 -c64 and an nginx backend that answers 512
bytes on CPU 1; CPU/req is user+system time of the proxy over the requests of
the run; the best of all rounds. Two cores: proxy, wrk and backend share both
CPUs, so req/s is the whole machine's; what scales is requests per CPU-second.
`

func (r *Result) text() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s, %d CPUs, %s, %d rounds of %s, load average before %s\n", r.Time.Format("2006-01-02 15:04"), r.CPUs, r.Go, r.Rounds, r.Duration, r.LoadBefore)
	for _, name := range r.Missing {
		fmt.Fprintf(&text, "MISSING: %s is not installed\n", name)
	}
	for _, what := range r.LeftOut {
		fmt.Fprintf(&text, "LEFT OUT: %s\n", what)
	}
	if len(r.Rows) > 0 {
		fmt.Fprintf(&text, "%s\n", method)
		r.writeRows(&text)
	}
	if len(r.Figures) > 0 {
		text.WriteByte('\n')
		r.writeFigures(&text)
	}
	return text.String()
}

func (r *Result) writeRows(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	defer w.Flush()
	fmt.Fprintln(w, "LOAD\tPROXY\tCPU/REQ\tRATIO\tBUDGET\t\tREQ/S\tP50\tP99\tRSS\tFAILED\tLATE")
	for _, row := range r.Rows {
		ratio, budget, verdict := "", "", ""
		if row.Ratio > 0 {
			ratio = fmt.Sprintf("%.2f", row.Ratio)
		}
		if row.Budget > 0 && row.Ratio > 0 {
			budget, verdict = fmt.Sprintf("%.2f", row.Budget), verdictOf(row.Ratio <= row.Budget)
		}
		fmt.Fprintf(w, "%s\t%s\t%.1f µs\t%s\t%s\t%s\t%.0f\t%.2f ms\t%.2f ms\t%.1f MB\t%d\t%d\n",
			row.Load, row.Proxy, row.CPU, ratio, budget, verdict, row.PerSecond, row.P50, row.P99, row.RSS, row.Failed, row.Late)
	}
}

func (r *Result) writeFigures(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	defer w.Flush()
	fmt.Fprintln(w, "SECTION\tFIGURE\tVALUE\tBUDGET\t\tNOTE")
	for _, f := range r.Figures {
		budget, verdict := "", ""
		if f.Budget > 0 {
			met := f.Value <= f.Budget
			sign := "≤"
			if f.AtLeast {
				met, sign = f.Value >= f.Budget, "≥"
			}
			budget, verdict = fmt.Sprintf("%s %g %s", sign, f.Budget, f.Unit), verdictOf(met)
		}
		fmt.Fprintf(w, "%s\t%s\t%s %s\t%s\t%s\t%s\n", f.Section, f.Name, figure(f.Value), f.Unit, budget, verdict, f.Note)
	}
}

func figure(v float64) string {
	if v >= 1000 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

func verdictOf(met bool) string {
	if met {
		return "ok"
	}
	return "MISSED"
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func megabytes(n int64) float64 { return float64(n) / (1 << 20) }
