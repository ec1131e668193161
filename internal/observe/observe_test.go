package observe

import (
	"context"
	"encoding/json"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/reason"
)

func flow() *Flow {
	return &Flow{
		Start:  time.Date(2026, 11, 21, 4, 5, 6, 7_000_000, time.UTC),
		Client: netip.MustParseAddrPort("127.0.0.1:9999"), Method: []byte("GET"), Host: []byte("shop.example"),
		Target: []byte("/a?b"), RequestID: []byte("abc"), Minor: 1, Status: 200, Outcome: reason.OK,
		Duration: 1234567, Wait: 1000000, BytesIn: 5, BytesOut: 512,
		Route: "ingress/shop/web/0/0", Origin: "web.yaml:7", Endpoint: "127.0.0.1:81", Destination: Party{Workload: "shop/web-1"},
	}
}

func TestCompactLine(t *testing.T) {
	got := string(appendCompact(nil, []byte("2026-11-21T04:05:06"), flow()))
	want := "2026-11-21T04:05:06.007Z 200 ok GET http://shop.example/a?b 1.234ms wait=1.000ms in=5 out=512 " +
		"client=127.0.0.1:9999 route=ingress/shop/web/0/0 at=web.yaml:7 endpoint=127.0.0.1:81 pod=shop/web-1 id=abc\n"
	if got != want {
		t.Errorf("got  %swant %s", got, want)
	}
}

// TestLinesSayWhoAndWhether: lines of both formats show what a Flow knows of its ends,
// the verdict and the trace, and leave out what it does not know.
func TestLinesSayWhoAndWhether(t *testing.T) {
	f := flow()
	f.Service = NewMetrics(0).Service("shop/web:80")
	f.Source = Party{Workload: "shop/client-1", Identity: "spiffe://mesh/ns/shop/sa/client x=\n"}
	f.Destination.Identity = "spiffe://mesh/ns/shop/sa/web"
	f.Verdict, f.Policy, f.Attempt = Denied, "shop/only-get", 3
	f.Trace = []byte("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	got := string(appendCompact(nil, []byte("2026-11-21T04:05:06"), f))
	want := "client=127.0.0.1:9999 source=shop/client-1 source-identity=spiffe://mesh/ns/shop/sa/client\\x20x=\\x0a " +
		"route=ingress/shop/web/0/0 at=web.yaml:7 endpoint=127.0.0.1:81 pod=shop/web-1 destination-identity=spiffe://mesh/ns/shop/sa/web " +
		"verdict=denied policy=shop/only-get retries=2 id=abc trace=4bf92f3577b34da6a3ce929d0e0e4736\n"
	if !strings.HasSuffix(got, want) {
		t.Errorf("got  %swant %s", got, want)
	}
	known := map[string]any{
		"service": "shop/web:80", "sourceWorkload": "shop/client-1", "sourceIdentity": f.Source.Identity,
		"destinationIdentity": "spiffe://mesh/ns/shop/sa/web", "verdict": "denied", "policy": "shop/only-get",
		"traceId": "4bf92f3577b34da6a3ce929d0e0e4736",
	}
	var out, none map[string]any
	if err := json.Unmarshal(appendJSON(nil, []byte("t"), f), &out); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(appendJSON(nil, []byte("t"), flow()), &none); err != nil {
		t.Fatal(err)
	}
	for member, value := range known {
		if _, there := none[member]; out[member] != value || there {
			t.Errorf("%s is %v, and %v where it is not known", member, out[member], none[member])
		}
	}
}

// TestOnlyTraceIDsAreTold: of a client's traceparent only the trace id is logged.
func TestOnlyTraceIDsAreTold(t *testing.T) {
	for sent, want := range map[string]string{
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01":       "4bf92f3577b34da6a3ce929d0e0e4736",
		"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-later": "4bf92f3577b34da6a3ce929d0e0e4736",
		"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01":       "",
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01":       "",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7":          "",
		"00 4bf92f3577b34da6a3ce929d0e0e4736 00f067aa0ba902b7 01":       "",
		strings.Repeat("secret ", 10):                                   "",
		"":                                                              "",
	} {
		if got := string((&Flow{Trace: []byte(sent)}).traceID()); got != want {
			t.Errorf("%q is of trace %q, want %q", sent, got, want)
		}
	}
}

func TestClientsCannotForgeLines(t *testing.T) {
	f := flow()
	f.Target = []byte("/x\n2026 200 ok \"\\ \xff")
	compact := string(appendCompact(nil, []byte("t"), f))
	if strings.Count(compact, "\n") != 1 || !strings.Contains(compact, `/x\x0a2026\x20200`) {
		t.Errorf("%q", compact)
	}
	var out map[string]any
	if err := json.Unmarshal(appendJSON(nil, []byte("t"), f), &out); err != nil || out["status"] != 200.0 || out["durationMs"] != 1.234 {
		t.Errorf("%v %v", err, out)
	}
}

// slowWriter blocks until it is released.
type slowWriter struct {
	release chan struct{}
	mu      sync.Mutex
	lines   int
}

func (w *slowWriter) Write(p []byte) (int, error) {
	<-w.release
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines += strings.Count(string(p), "\n")
	return len(p), nil
}

func TestLogDropsAndNeverBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMetrics(0)
		w := &slowWriter{release: make(chan struct{})}
		l := NewLog(w, LogCompact, m.Dropped)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { l.Run(ctx); close(done) }()
		const lines = 20_000
		for range lines {
			l.record(0, flow())
		}
		time.Sleep(time.Second) // now the flusher is blocked in the writer
		if m.Dropped.Sum() == 0 {
			t.Error("nothing was dropped")
		}
		close(w.release)
		cancel()
		<-done
		if got := w.lines + int(m.Dropped.Sum()); got != lines {
			t.Errorf("%d written + %d dropped, %d recorded", w.lines, m.Dropped.Sum(), lines)
		}
	})
}

func TestPrometheusText(t *testing.T) {
	m := NewMetrics(0)
	m.Route("ingress/a/b/0/0").Hit(0, 204, reason.OK)
	m.Route("ingress/a/b/0/0").Hit(0, 200, reason.OK)
	m.Unrouted().Hit(0, 404, reason.NoRoute)
	m.Service(`a/"b`).Observe(0, 3*time.Millisecond)
	l := m.Listener(model.ListenerID{Port: 443})
	l.Accepted.Add(0, 3)
	l.Closed.Add(0, 1)
	l.Handshakes.Add(0, 3)
	l.Resumed.Add(0, 1)
	m.SetState(func(s *State) {
		s.Generation, s.Hash = 7, "beef"
		s.Reports = []reason.Report{reason.New(reason.NotHonoured, reason.Origin{}, "x")}
	})
	text := string(m.WriteText())
	for _, want := range []string{
		`windrose_requests_total{route="ingress/a/b/0/0",class="2xx",outcome="ok"} 2`,
		`windrose_requests_total{route="none",class="4xx",outcome="no_route"} 1`,
		`windrose_request_duration_seconds_bucket{service="a/\"b",le="0.0025"} 0`,
		`windrose_request_duration_seconds_bucket{service="a/\"b",le="0.005"} 1`,
		`windrose_request_duration_seconds_bucket{service="a/\"b",le="+Inf"} 1`,
		`windrose_request_duration_seconds_sum{service="a/\"b"} 0.003`,
		`windrose_connections_open{port="443"} 2`,
		`windrose_tls_handshakes_total{port="443",result="full"} 2`,
		`windrose_reports{code="NotHonoured",severity="warning"} 1`,
		`windrose_generation{hash="beef"} 7`,
		"# TYPE windrose_save_to_live_seconds histogram",
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("missing: %s", want)
		}
	}
}

func TestSeriesAreBoundedAndExpire(t *testing.T) {
	m := NewMetrics(2)
	for _, name := range []string{"a", "b", "c", "d"} {
		m.Route(name).Hit(0, 200, reason.OK)
	}
	if got := m.other.sum(); got != 2 {
		t.Errorf("other counts %d, want 2", got)
	}
	none := func(string) bool { return false }
	m.Retain(none, none) // hit since the start
	if len(m.routes) == 0 {
		t.Error("a route that was just hit is forgotten")
	}
	m.Retain(none, none) // not hit since the previous call
	if len(m.routes) != 0 || m.live != 0 {
		t.Errorf("%d routes, %d live", len(m.routes), m.live)
	}
	m.Route("e").Hit(0, 200, reason.OK)
	if m.Route("e").sum() != 1 {
		t.Error("freed series are not used again")
	}
}

// Durations past the limit of series count for the service "other".
func TestDurationsPastTheBoundCount(t *testing.T) {
	m := NewMetrics(1)
	for _, name := range []string{"a", "b", "c", "b"} {
		m.Service(name).Observe(0, time.Millisecond)
	}
	text := string(m.WriteText())
	for _, want := range []string{
		`windrose_request_duration_seconds_count{service="a"} 1`,
		`windrose_request_duration_seconds_count{service="other"} 3`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("missing %s in\n%s", want, text)
		}
	}
	none := func(string) bool { return false }
	m.Retain(none, none)
	m.Retain(none, none)
	m.Service("d").Observe(0, time.Millisecond)
	if text := string(m.WriteText()); m.live != 1 || !strings.Contains(text, `_count{service="d"} 1`) || !strings.Contains(text, `_count{service="other"} 3`) {
		t.Errorf("%d live, and\n%s", m.live, text)
	}
}

func TestRecordDoesNotAllocate(t *testing.T) {
	for _, format := range []LogFormat{LogCompact, LogJSON} {
		m := NewMetrics(0)
		l := NewLog(&strings.Builder{}, format, m.Dropped)
		f := flow()
		f.Rule, f.Service = m.Route("r"), m.Service("s")
		f.Source, f.Verdict, f.Policy = Party{"shop/client-1", "spiffe://mesh/ns/shop/sa/client"}, Denied, "shop/only-get"
		f.Trace = []byte("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
		l.shards[0].lines = make([]byte, 0, 2*logShardBytes)
		sink := Sink{Metrics: m, Log: l}
		if n := testing.AllocsPerRun(300, func() { sink.Record(0, f) }); n != 0 {
			t.Errorf("%v allocations a request with format %d", n, format)
		}
	}
}

func BenchmarkRecord(b *testing.B) {
	m := NewMetrics(0)
	l := NewLog(&strings.Builder{}, LogCompact, m.Dropped)
	f := flow()
	for range b.N {
		l.record(0, f)
		l.shards[0].lines = l.shards[0].lines[:0]
	}
}
