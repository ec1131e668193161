package observe

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/reason"
)

// MetricRow describes one metric: a row of docs/metrics.md and the head of its
// series.
type MetricRow struct {
	Name, Type string
	Labels     []string
	Help       string
}

// The metrics. /metrics writes them in this order.
var metricRows = []MetricRow{
	{"windrose_requests_total", "counter", []string{"route", "class", "outcome"}, "Requests by the rule that took them, status class and outcome. Route none took no rule, other is past the bound on series."},
	{"windrose_request_duration_seconds", "histogram", []string{"service"}, "Time from a request's first byte to its answer's last, by service. Service other is past the bound on series."},
	{"windrose_retries_total", "counter", []string{"service", "result"}, "Attempts that retry policies repeated: made, or denied by the budget."},
	{"windrose_mirrors_total", "counter", []string{"service", "result"}, "Copies of requests for mirrors: answered, failed, or dropped because there were too many or they were too large."},
	{"windrose_relays_total", "counter", []string{"route", "outcome"}, "Connections and UDP flows that were relayed on layer 4, by rule and outcome. Routes none and other as with requests."},
	{"windrose_relayed_bytes_total", "counter", []string{"port", "direction"}, "Bytes relayed on layer 4: in from clients, out to them. Those of a connection count when it ends."},
	{"windrose_datagrams_dropped_total", "counter", []string{"port"}, "Datagrams that went nowhere: no rule, no endpoint, too many flows, or a full socket."},
	{"windrose_connections_total", "counter", []string{"port"}, "Client connections accepted. A port of UDP ends with /udp and counts flows."},
	{"windrose_connections_open", "gauge", []string{"port"}, "Client connections open now."},
	{"windrose_connections_refused_total", "counter", []string{"port"}, "Client connections turned away by a limit."},
	{"windrose_streams_refused_total", "counter", []string{"port"}, "Requests over HTTP/2 refused unseen (REFUSED_STREAM): more at a time than --max-streams, or no memory for them. Clients may repeat them."},
	{"windrose_proxy_headers_total", "counter", []string{"port", "result"}, "Connections from peers of --proxy-protocol-from: those whose PROXY header named a client, those of the peer itself (local), and those that were closed for want of a valid header."},
	{"windrose_tls_handshakes_total", "counter", []string{"port", "result"}, "TLS handshakes: full, resumed or failed."},
	{"windrose_name_lookups_total", "counter", []string{"result"}, "Lookups of host names that stand for endpoints: found, failed, or led to addresses that are refused."},
	{"windrose_names_failing", "gauge", nil, "Host names of endpoints whose last lookup was not all well. The addresses that they had are used meanwhile."},
	{"windrose_reports", "gauge", []string{"code", "severity"}, "Reports that stand now."},
	{"windrose_generation", "gauge", []string{"hash"}, "The number of the live Generation, with the hash of its snapshot."},
	{"windrose_generation_age_seconds", "gauge", nil, "Time since the live Generation went live."},
	{"windrose_routes", "gauge", nil, "Rules in the live Generation."},
	{"windrose_services", "gauge", nil, "Services in the live Generation."},
	{"windrose_save_to_live_seconds", "histogram", nil, "Time from the first sign of a change until it served."},
	{"windrose_panics_total", "counter", nil, "Panics that were contained: each ended one connection or one request, and is a defect. Alert on any."},
	{"windrose_log_dropped_total", "counter", nil, "Access-log lines dropped because the log's reader is too slow."},
}

// MetricRows returns the table of metrics.
func MetricRows() []MetricRow { return metricRows }

// WriteText writes all series in the Prometheus text format, version 0.0.4.
func (m *Metrics) WriteText() []byte {
	w := &promWriter{}
	now := time.Now()
	state := m.State()
	m.mu.Lock()
	defer m.mu.Unlock()
	writers := map[string]func(MetricRow){
		"windrose_requests_total": func(MetricRow) { m.writeRequests(w) },
		"windrose_relays_total":   func(MetricRow) { m.writeRelays(w) },
		"windrose_proxy_headers_total": func(MetricRow) {
			m.eachListenerOf(w, "client", func(l *Listener) uint64 { return l.Announced.Sum() })
			m.eachListenerOf(w, "local", func(l *Listener) uint64 { return l.OwnAnnounced.Sum() })
			m.eachListenerOf(w, "invalid", func(l *Listener) uint64 { return l.AnnounceErrors.Sum() })
		},
		"windrose_name_lookups_total": func(MetricRow) {
			w.sample(float64(m.Names.found.Load()), "found")
			w.sample(float64(m.Names.failed.Load()), "failed")
			w.sample(float64(m.Names.refused.Load()), "refused")
		},
		"windrose_names_failing": func(MetricRow) { w.sample(float64(m.Names.Failing.Load())) },
		"windrose_relayed_bytes_total": func(MetricRow) {
			m.eachListenerOf(w, "in", func(l *Listener) uint64 { return l.RelayedIn.Sum() })
			m.eachListenerOf(w, "out", func(l *Listener) uint64 { return l.RelayedOut.Sum() })
		},
		"windrose_datagrams_dropped_total":  func(MetricRow) { m.eachUDP(w, func(l *Listener) uint64 { return l.Dropped.Sum() }) },
		"windrose_request_duration_seconds": func(row MetricRow) { m.writeDurations(w, row) },
		"windrose_retries_total": func(MetricRow) {
			m.eachService(w, "made", func(s *Service) uint64 { return s.Retries.Load() })
			m.eachService(w, "denied", func(s *Service) uint64 { return s.RetriesDenied.Load() })
		},
		"windrose_mirrors_total": func(MetricRow) {
			m.eachService(w, "answered", func(s *Service) uint64 { return s.Mirrored.Load() })
			m.eachService(w, "failed", func(s *Service) uint64 { return s.MirrorsFailed.Load() })
			m.eachService(w, "dropped", func(s *Service) uint64 { return s.MirrorsDropped.Load() })
		},
		"windrose_connections_total":         func(MetricRow) { m.eachListener(w, func(l *Listener) uint64 { return l.Accepted.Sum() }) },
		"windrose_connections_open":          func(MetricRow) { m.eachListener(w, (*Listener).open) },
		"windrose_connections_refused_total": func(MetricRow) { m.eachListener(w, func(l *Listener) uint64 { return l.Refused.Sum() }) },
		"windrose_streams_refused_total":     func(MetricRow) { m.eachListener(w, func(l *Listener) uint64 { return l.StreamsRefused.Sum() }) },
		"windrose_tls_handshakes_total":      func(MetricRow) { m.writeHandshakes(w) },
		"windrose_reports":                   func(MetricRow) { writeReports(w, state.Reports) },
		"windrose_generation":                func(MetricRow) { w.sample(float64(state.Generation), state.Hash) },
		"windrose_generation_age_seconds":    func(MetricRow) { w.sample(now.Sub(state.Since).Seconds()) },
		"windrose_routes":                    func(MetricRow) { w.sample(float64(state.Routes)) },
		"windrose_services":                  func(MetricRow) { w.sample(float64(state.Services)) },
		"windrose_save_to_live_seconds":      func(MetricRow) { w.histogram(m.SaveToLive) },
		"windrose_panics_total":              func(MetricRow) { w.sample(float64(m.Panics.Load())) },
		"windrose_log_dropped_total":         func(MetricRow) { w.sample(float64(m.Dropped.Sum())) },
	}
	for _, row := range metricRows {
		w.begin(row)
		writers[row.Name](row)
	}
	return w.b.Bytes()
}

func (l *Listener) open() uint64 { closed := l.Closed.Sum(); return l.Accepted.Sum() - closed }

func (m *Metrics) writeRequests(w *promWriter) {
	m.eachCell(func(r *Route, c *cell) {
		if c.class != relayed {
			w.sample(float64(c.count.Sum()), r.Name, strconv.Itoa(int(c.class))+"xx", c.outcome.String())
		}
	})
}

func (m *Metrics) writeRelays(w *promWriter) {
	m.eachCell(func(r *Route, c *cell) {
		if c.class == relayed {
			w.sample(float64(c.count.Sum()), r.Name, c.outcome.String())
		}
	})
}

func (m *Metrics) eachCell(do func(*Route, *cell)) {
	all := slices.SortedFunc(maps.Values(m.routes), func(a, b *Route) int { return cmp.Compare(a.Name, b.Name) })
	for _, r := range append(all, m.unrouted, m.other) {
		if cells := r.cells.Load(); cells != nil {
			for _, c := range *cells {
				do(r, c)
			}
		}
	}
}

// servicesByName are all services in order.
func (m *Metrics) servicesByName() []*Service {
	return slices.SortedFunc(maps.Values(m.services), func(a, b *Service) int { return cmp.Compare(a.Name, b.Name) })
}

// eachService writes a count of each service that has any.
func (m *Metrics) eachService(w *promWriter, result string, count func(*Service) uint64) {
	for _, s := range m.servicesByName() {
		if n := count(s); n > 0 {
			w.sample(float64(n), s.Name, result)
		}
	}
}

func (m *Metrics) writeDurations(w *promWriter, _ MetricRow) {
	for _, s := range append(m.servicesByName(), m.otherService) {
		if h := s.hist.Load(); h != nil {
			w.histogram(h, s.Name)
		}
	}
}

func (m *Metrics) eachListener(w *promWriter, value func(*Listener) uint64) {
	for _, id := range m.listenerIDs() {
		w.sample(float64(value(m.listens[id])), id.String())
	}
}

// eachListenerOf writes a count of each listener that has any.
func (m *Metrics) eachListenerOf(w *promWriter, direction string, count func(*Listener) uint64) {
	for _, id := range m.listenerIDs() {
		if n := count(m.listens[id]); n > 0 {
			w.sample(float64(n), id.String(), direction)
		}
	}
}

func (m *Metrics) eachUDP(w *promWriter, count func(*Listener) uint64) {
	for _, id := range m.listenerIDs() {
		if id.UDP {
			w.sample(float64(count(m.listens[id])), id.String())
		}
	}
}

func (m *Metrics) listenerIDs() []model.ListenerID {
	return slices.SortedFunc(maps.Keys(m.listens), model.ListenerID.Compare)
}

func (m *Metrics) writeHandshakes(w *promWriter) {
	for _, id := range m.listenerIDs() {
		l, name := m.listens[id], id.String()
		resumed := l.Resumed.Sum()
		w.sample(float64(l.Handshakes.Sum()-resumed), name, "full")
		w.sample(float64(resumed), name, "resumed")
		w.sample(float64(l.HandshakeErrors.Sum()), name, "failed")
	}
}

func writeReports(w *promWriter, reports []reason.Report) {
	type key struct {
		code     reason.Code
		severity reason.Severity
	}
	counts := map[key]int{}
	for _, r := range reports {
		counts[key{r.Code, r.Severity}]++
	}
	for _, row := range reason.Codes() {
		for severity := reason.Info; severity <= reason.Error; severity++ {
			if n := counts[key{row.Code, severity}]; n > 0 {
				w.sample(float64(n), row.Name, severity.String())
			}
		}
	}
}

// promWriter writes the samples of one metric after the other.
type promWriter struct {
	b   bytes.Buffer
	row MetricRow
}

func (w *promWriter) begin(row MetricRow) {
	w.row = row
	fmt.Fprintf(&w.b, "# HELP %s %s\n# TYPE %s %s\n", row.Name, row.Help, row.Name, row.Type)
}

func (w *promWriter) sample(value float64, labels ...string) {
	w.line(w.row.Name, w.row.Labels, labels, value)
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
