package observe

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/reason"
)

var update = flag.Bool("update", false, "write what /metrics says into the golden file")

// everything returns Metrics in which each series has a different count.
func everything() *Metrics {
	m := NewMetrics(4)
	n := uint64(0)
	next := func() uint64 { n++; return n }
	countTraffic(m, next)
	countListeners(m, next)
	m.Names.found.Add(next())
	m.Names.failed.Add(next())
	m.Names.refused.Add(next())
	m.Names.Failing.Store(int64(next()))
	m.Panics.Add(next())
	m.Dropped.Add(0, next())
	m.SaveToLive.Observe(0, 12*time.Millisecond)
	m.SetState(func(s *State) {
		s.Generation, s.Hash, s.Since = 7, "beef", time.Now().Add(-90*time.Second)
		s.Routes, s.Services = int(next()), int(next())
		s.Reports = []reason.Report{reason.New(reason.NotHonoured, reason.Origin{}, "x"), reason.New(reason.RuleInvalid, reason.Origin{}, "y"), reason.New(reason.NotHonoured, reason.Origin{}, "z")}
	})
	return m
}

// countTraffic counts for routes and services, one of which is past the limit of series.
func countTraffic(m *Metrics, next func() uint64) {
	for _, hit := range []struct {
		route  *Route
		status int
	}{{m.Route("b"), 200}, {m.Route(`a"\`), 503}, {m.Route(`a"\`), 204}, {m.Unrouted(), 404}} {
		for range next() {
			hit.route.Hit(0, hit.status, reason.OK)
		}
	}
	for range next() {
		m.Route("l4-route").L4Flow(0, reason.OK)
	}
	for i, name := range []string{"shop/web:80", "past/the-bound:80"} {
		s := m.Service(name)
		for range next() {
			s.Observe(0, time.Duration(i+1)*30*time.Millisecond)
		}
	}
	s := m.Service("shop/web:80")
	s.Retries.Add(next())
	s.RetriesDenied.Add(next())
	s.Mirrored.Add(next())
	s.MirrorsFailed.Add(next())
	s.MirrorsDropped.Add(next())
}

// countListeners counts for all listeners except one.
func countListeners(m *Metrics, next func() uint64) {
	for _, id := range []model.ListenerID{{Port: 443}, {Gateway: "infra/edge", Port: 80}, {Port: 53, UDP: true}} {
		l := m.Listener(id)
		for _, c := range []*Counter{
			l.Refused, l.StreamsRefused, l.L4In, l.L4Out, l.Dropped, l.ProxyHeaders, l.OwnProxyHeaders,
			l.ProxyHeaderErrors, l.HandshakeErrors, l.Closed, l.Resumed,
		} {
			c.Add(0, next())
		}
		l.Accepted.Add(0, 2*next())
		l.Handshakes.Add(0, 3*next())
	}
	m.Listener(model.ListenerID{Port: 8080})
}

// TestMetricsText compares everything that /metrics can show with a golden file.
func TestMetricsText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the age of a Generation needs a fake clock
		const golden = "testdata/metrics.txt"
		got := everything().WriteText()
		if *update {
			if err := os.WriteFile(golden, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// TestTableOfMetrics: each row has what Prometheus needs, and its series have the labels
// and the kind of value that it declares.
func TestTableOfMetrics(t *testing.T) {
	r := &reading{Metrics: everything(), now: time.Now()}
	r.state = r.State()
	seen := map[string]bool{}
	for _, row := range AllMetrics() {
		if seen[row.Name] || row.Help == "" || strings.ContainsAny(row.Help, "\\\n") {
			t.Errorf("%s is there twice, or has no help of one line", row.Name)
		}
		seen[row.Name] = true
		if total := strings.HasSuffix(row.Name, "_total"); total != (row.Type == CounterType) {
			t.Errorf("%s is a %s", row.Name, row.Type)
		}
		series := map[string]bool{}
		row.series(r, func(_ float64, h *Histogram, labels ...string) {
			if len(labels) != len(row.Labels) || (h != nil) != (row.Type == HistogramType) || series[fmt.Sprint(labels)] {
				t.Errorf("%s, a %s of %q, has a series %q", row.Name, row.Type, row.Labels, labels)
			}
			series[fmt.Sprint(labels)] = true
		})
		if len(series) == 0 {
			t.Errorf("%s has no series where everything was counted", row.Name)
		}
	}
}
