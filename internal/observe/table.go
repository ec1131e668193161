package observe

import "time"

// Type is the type of a metric.
type Type uint8

// The types of Prometheus.
const (
	CounterType Type = iota
	GaugeType
	HistogramType
)

func (t Type) String() string { return [...]string{"counter", "gauge", "histogram"}[t] }

// Metric is a row of the table of metrics: its entry in docs/metrics.md, the head of its
// series in /metrics, and the series.
type Metric struct {
	Name   string
	Type   Type
	Labels []string
	Help   string
	// Fix says what to do about unhealthy values; empty if there is nothing to do.
	Fix string

	// series yields the series of the metric, in a fixed order.
	series func(*reading, yield)
}

// yield takes one series: its value, or the histogram of a metric of HistogramType, and
// the values of its labels.
type yield func(value float64, h *Histogram, labels ...string)

// reading is a Metrics during one scrape: its lock is held, and the time is fixed.
type reading struct {
	*Metrics
	now   time.Time
	state State
}

// metrics is the table of all metrics. /metrics and docs/metrics.md show them in this
// order.
var metrics = []Metric{
	{
		Name: "windrose_requests_total", Type: CounterType, Labels: []string{"route", "class", "outcome"},
		Help:   "Requests by the rule that took them, status class and outcome. Route none took no rule, other is past the bound on series.",
		Fix:    "docs/outcomes.md says of each outcome what to do.",
		series: requests,
	},
	{
		Name: "windrose_request_duration_seconds", Type: HistogramType, Labels: []string{"service"},
		Help:   "Time from a request's first byte to its answer's last, by service. Service other is past the bound on series.",
		series: durations,
	},
	{
		Name: "windrose_retries_total", Type: CounterType, Labels: []string{"service", "result"},
		Help: "Attempts that retry policies repeated: made, or denied by the budget.",
		Fix:  "Find out why the service fails first: many denied ones show that it does for most requests. --retry-budget-percent is the budget.",
		series: byService(
			ofService{"made", func(s *Service) uint64 { return s.Retries.Load() }},
			ofService{"denied", func(s *Service) uint64 { return s.RetriesDenied.Load() }},
		),
	},
	{
		Name: "windrose_mirrors_total", Type: CounterType, Labels: []string{"service", "result"},
		Help: "Copies of requests for mirrors: answered, failed, or dropped because there were too many or they were too large.",
		Fix:  "Make the mirror faster, or raise --max-mirrors or --max-mirror-bytes. Requests do not wait for mirrors.",
		series: byService(
			ofService{"answered", func(s *Service) uint64 { return s.Mirrored.Load() }},
			ofService{"failed", func(s *Service) uint64 { return s.MirrorsFailed.Load() }},
			ofService{"dropped", func(s *Service) uint64 { return s.MirrorsDropped.Load() }},
		),
	},
	{
		Name: "windrose_l4_flows_total", Type: CounterType, Labels: []string{"route", "outcome"},
		Help:   "Connections and UDP flows that were relayed on layer 4, by rule and outcome. Routes none and other as with requests.",
		Fix:    "docs/outcomes.md says of each outcome what to do.",
		series: l4Routes,
	},
	{
		Name: "windrose_l4_bytes_total", Type: CounterType, Labels: []string{"port", "direction"},
		Help: "Bytes relayed on layer 4: in from clients, out to them. Those of a connection count when it ends.",
		series: anyByListener(
			ofListener{"in", func(l *Listener) uint64 { return l.L4In.Sum() }},
			ofListener{"out", func(l *Listener) uint64 { return l.L4Out.Sum() }},
		),
	},
	{
		Name: "windrose_datagrams_dropped_total", Type: CounterType, Labels: []string{"port"},
		Help:   "Datagrams that went nowhere: no rule, no endpoint, too many flows, or a full socket.",
		Fix:    "The outcomes of windrose_l4_flows_total tell which; --max-udp-flows and --max-udp-flows-per-client bound the flows.",
		series: byUDPListener(func(l *Listener) uint64 { return l.Dropped.Sum() }),
	},
	{
		Name: "windrose_connections_total", Type: CounterType, Labels: []string{"port"},
		Help:   "Client connections accepted. A port of UDP ends with /udp and counts flows.",
		series: byListener(func(l *Listener) uint64 { return l.Accepted.Sum() }),
	},
	{
		Name: "windrose_connections_open", Type: GaugeType, Labels: []string{"port"},
		Help:   "Client connections open now.",
		series: byListener((*Listener).open),
	},
	{
		Name: "windrose_connections_refused_total", Type: CounterType, Labels: []string{"port"},
		Help:   "Client connections turned away by a limit.",
		Fix:    "--max-connections and --max-connections-per-client are the limits.",
		series: byListener(func(l *Listener) uint64 { return l.Refused.Sum() }),
	},
	{
		Name: "windrose_streams_refused_total", Type: CounterType, Labels: []string{"port"},
		Help:   "Requests over HTTP/2 refused unseen (REFUSED_STREAM): more at a time than --max-streams, or no memory for them. Clients may repeat them.",
		Fix:    "Raise --max-streams, or give the process more memory.",
		series: byListener(func(l *Listener) uint64 { return l.StreamsRefused.Sum() }),
	},
	{
		Name: "windrose_proxy_headers_total", Type: CounterType, Labels: []string{"port", "result"},
		Help: "Connections from peers of --proxy-protocol-from: those whose PROXY header named a client, those of the peer itself (local), and those that were closed for want of a valid header.",
		Fix:  "Have the balancer send PROXY headers, or take it out of --proxy-protocol-from.",
		series: anyByListener(
			ofListener{"client", func(l *Listener) uint64 { return l.ProxyHeaders.Sum() }},
			ofListener{"local", func(l *Listener) uint64 { return l.OwnProxyHeaders.Sum() }},
			ofListener{"invalid", func(l *Listener) uint64 { return l.ProxyHeaderErrors.Sum() }},
		),
	},
	{
		Name: "windrose_tls_handshakes_total", Type: CounterType, Labels: []string{"port", "result"},
		Help:   "TLS handshakes: full, resumed or failed.",
		Fix:    "The access log has a line with the reason of each that failed.",
		series: handshakes,
	},
	{
		Name: "windrose_name_lookups_total", Type: CounterType, Labels: []string{"result"},
		Help:   "Lookups of host names that stand for endpoints: found, failed, or led to addresses that are refused.",
		Fix:    "See that the servers in /etc/resolv.conf answer for the names of ExternalNames and FQDN endpoints.",
		series: lookups,
	},
	{
		Name: "windrose_names_failing", Type: GaugeType,
		Help:   "Host names of endpoints whose last lookup was not all well. The addresses that they had are used meanwhile.",
		Fix:    "As with windrose_name_lookups_total.",
		series: one(func(r *reading) float64 { return float64(r.Names.Failing.Load()) }),
	},
	{
		Name: "windrose_reports", Type: GaugeType, Labels: []string{"code", "severity"},
		Help:   "Reports that stand now.",
		Fix:    "docs/reports.md says of each code what to do.",
		series: reports,
	},
	{
		Name: "windrose_generation", Type: GaugeType, Labels: []string{"hash"},
		Help:   "The number of the live Generation, with the hash of its snapshot.",
		series: func(r *reading, out yield) { out(float64(r.state.Generation), nil, r.state.Hash) },
	},
	{
		Name: "windrose_generation_age_seconds", Type: GaugeType,
		Help:   "Time since the live Generation went live.",
		series: one(func(r *reading) float64 { return r.now.Sub(r.state.Since).Seconds() }),
	},
	{
		Name: "windrose_routes", Type: GaugeType,
		Help:   "Rules in the live Generation.",
		series: one(func(r *reading) float64 { return float64(r.state.Routes) }),
	},
	{
		Name: "windrose_services", Type: GaugeType,
		Help:   "Services in the live Generation.",
		series: one(func(r *reading) float64 { return float64(r.state.Services) }),
	},
	{
		Name: "windrose_save_to_live_seconds", Type: HistogramType,
		Help:   "Time from the first sign of a change until it served.",
		series: func(r *reading, out yield) { out(0, r.SaveToLive) },
	},
	{
		Name: "windrose_panics_total", Type: CounterType,
		Help:   "Panics that were contained: each ended one connection or one request, and is a defect. Alert on any.",
		Fix:    "Report it, with the stack that stands in the error output.",
		series: one(func(r *reading) float64 { return float64(r.Panics.Load()) }),
	},
	{
		Name: "windrose_log_dropped_total", Type: CounterType,
		Help:   "Access-log lines dropped because the log's reader is too slow.",
		Fix:    "Have standard output read faster, or turn the log off with --log off.",
		series: one(func(r *reading) float64 { return float64(r.Dropped.Sum()) }),
	},
}

// AllMetrics returns the table of metrics.
func AllMetrics() []Metric { return metrics }

// one returns the series of a metric that has just one.
func one(value func(*reading) float64) func(*reading, yield) {
	return func(r *reading, out yield) { out(value(r), nil) }
}

// byListener yields a series for each listener.
func byListener(count func(*Listener) uint64) func(*reading, yield) {
	return func(r *reading, out yield) {
		for _, l := range r.listenersByID() {
			out(float64(count(l)), nil, l.ID.String())
		}
	}
}

func byUDPListener(count func(*Listener) uint64) func(*reading, yield) {
	return func(r *reading, out yield) {
		for _, l := range r.listenersByID() {
			if l.ID.UDP {
				out(float64(count(l)), nil, l.ID.String())
			}
		}
	}
}

// ofListener is a count of a listener, with the value of the label that distinguishes it
// within a metric; ofService is the same for a service.
type (
	ofListener struct {
		label string
		count func(*Listener) uint64
	}
	ofService struct {
		label string
		count func(*Service) uint64
	}
)

// anyByListener yields a series for each count of each listener that is not zero.
func anyByListener(all ...ofListener) func(*reading, yield) {
	return func(r *reading, out yield) {
		for _, of := range all {
			for _, l := range r.listenersByID() {
				if n := of.count(l); n > 0 {
					out(float64(n), nil, l.ID.String(), of.label)
				}
			}
		}
	}
}

// byService yields a series for each count of each service that is not zero.
func byService(all ...ofService) func(*reading, yield) {
	return func(r *reading, out yield) {
		for _, of := range all {
			for _, s := range r.servicesByName() {
				if n := of.count(s); n > 0 {
					out(float64(n), nil, s.Name, of.label)
				}
			}
		}
	}
}
