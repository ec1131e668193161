package observe

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// WriteText writes all series in the Prometheus text format, version 0.0.4.
func (m *Metrics) WriteText() []byte {
	r := &reading{Metrics: m, now: time.Now(), state: m.State()}
	m.mu.Lock()
	defer m.mu.Unlock()
	w := &promWriter{}
	for i := range metrics {
		w.write(&metrics[i], r)
	}
	return w.b.Bytes()
}

// promWriter writes the samples of one metric after the other.
type promWriter struct {
	b   bytes.Buffer
	row *Metric
}

func (w *promWriter) write(row *Metric, r *reading) {
	w.row = row
	fmt.Fprintf(&w.b, "# HELP %s %s\n# TYPE %s %s\n", row.Name, row.Help, row.Name, row.Type)
	row.series(r, func(value float64, h *Histogram, labels ...string) {
		if row.Type == HistogramType {
			w.histogram(h, labels...)
		} else {
			w.line(row.Name, row.Labels, labels, value)
		}
	})
}

func (w *promWriter) line(name string, keys, values []string, value float64) {
	w.b.WriteString(name)
	for i, v := range values {
		w.b.WriteString([]string{"{", ","}[min(i, 1)])
		w.b.WriteString(keys[i] + `="` + labelEscaper.Replace(v) + `"`)
	}
	if len(values) > 0 {
		w.b.WriteByte('}')
	}
	w.b.WriteByte(' ')
	w.b.WriteString(strconv.FormatFloat(value, 'g', -1, 64))
	w.b.WriteByte('\n')
}

var labelEscaper = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func (w *promWriter) histogram(h *Histogram, labels ...string) {
	buckets, sum := h.snapshot()
	keys := append(slices.Clone(w.row.Labels), "le")
	total := uint64(0)
	for i, n := range buckets {
		le := "+Inf"
		if i < len(bounds) {
			le = strconv.FormatFloat(bounds[i].Seconds(), 'g', -1, 64)
		}
		total += n
		w.line(w.row.Name+"_bucket", keys, append(slices.Clone(labels), le), float64(total))
	}
	w.line(w.row.Name+"_sum", w.row.Labels, labels, sum.Seconds())
	w.line(w.row.Name+"_count", w.row.Labels, labels, float64(total))
}
