package observe

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/reason"
)

// Metrics holds all counters of one proxy.
type Metrics struct {
	shards int
	limit  int
	// other and otherService count what is past the limit.
	other        *Route
	otherService *Service

	mu       sync.Mutex
	routes   map[string]*Route
	services map[string]*Service
	listens  map[model.ListenerID]*Listener
	live     int // routes and services with their own memory

	// Names counts lookups of host names.
	Names Names
	// Panics counts recovered panics. Each is a defect of Windrose, so alert on any.
	Panics atomic.Uint64
	// Dropped counts access-log lines that were dropped.
	Dropped *Counter
	// unrouted counts requests that matched no rule.
	unrouted *Route
	// SaveToLive observes the time from the first sign of a change until it was served.
	SaveToLive *Histogram

	stateMu sync.Mutex // one writer at a time; readers take the pointer
	state   atomic.Pointer[State]
}

// State is the current state, as opposed to counts.
type State struct {
	// Generation counts from 1; Hash is the hash of its Snapshot.
	Generation uint64
	Hash       string
	Since      time.Time
	Reports    []reason.Report
	Routes     int
	Services   int
	Ready      bool
}

// DefaultSeriesLimit bounds the routes and services that have their own series.
const DefaultSeriesLimit = 10_000

// NewMetrics returns a Metrics. limit bounds the routes and services that have their own
// series; 0 is DefaultSeriesLimit.
func NewMetrics(limit int) *Metrics {
	if limit <= 0 {
		limit = DefaultSeriesLimit
	}
	shards := Shards()
	m := &Metrics{
		shards: shards, limit: limit,
		routes: map[string]*Route{}, services: map[string]*Service{}, listens: map[model.ListenerID]*Listener{},
		Dropped: NewCounter(shards), SaveToLive: NewHistogram(1),
	}
	m.other = &Route{metrics: m, Name: "other"}
	m.otherService = &Service{metrics: m, Name: "other"}
	m.unrouted = &Route{metrics: m, Name: "none"}
	m.state.Store(&State{})
	return m
}

// ShardCount returns the number of shards of each counter.
func (m *Metrics) ShardCount() int { return m.shards }

// State returns the current state.
func (m *Metrics) State() State { return *m.state.Load() }

// SetState changes the state.
func (m *Metrics) SetState(change func(*State)) {
	m.stateMu.Lock()
	defer m.stateMu.Unlock()
	next := *m.state.Load()
	change(&next)
	m.state.Store(&next)
}

// Unrouted returns the handle for requests that matched no rule.
func (m *Metrics) Unrouted() *Route { return m.unrouted }

// Route returns the handle for a rule's ID. It takes no series until its first hit.
func (m *Metrics) Route(name string) *Route {
	m.mu.Lock()
	defer m.mu.Unlock()
	return getOrMake(m.routes, name, func() *Route { return &Route{metrics: m, Name: name} })
}

// Service returns the handle for a service's ID.
func (m *Metrics) Service(name string) *Service {
	m.mu.Lock()
	defer m.mu.Unlock()
	return getOrMake(m.services, name, func() *Service { return &Service{metrics: m, Name: name} })
}

// Listener returns the handle for a listener.
func (m *Metrics) Listener(id model.ListenerID) *Listener {
	m.mu.Lock()
	defer m.mu.Unlock()
	return getOrMake(m.listens, id, func() *Listener { return newListener(id, m.shards) })
}

func getOrMake[K comparable, V any](all map[K]*V, key K, make func() *V) *V {
	if all[key] == nil {
		all[key] = make()
	}
	return all[key]
}

// Retain removes the routes and services that the functions do not name and that were not
// hit since the previous call. It is called after each change of configuration and from
// time to time.
func (m *Metrics) Retain(routes, services func(name string) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, r := range m.routes {
		if r.expired(routes(name)) {
			delete(m.routes, name)
		}
	}
	for name, s := range m.services {
		if s.expired(services(name)) {
			delete(m.services, name)
		}
	}
}

// takeSeries reserves one more series. The lock must be held.
func (m *Metrics) takeSeries() bool {
	if m.live >= m.limit {
		return false
	}
	m.live++
	return true
}

// Route counts the requests of one rule by status class and Outcome, and the connections
// and UDP flows of an L4 route by Outcome.
type Route struct {
	metrics *Metrics
	// Name is the rule's ID.
	Name  string
	cells atomic.Pointer[[]*cell]
	seen  uint64 // the count at the last Retain
}

type cell struct {
	class   uint8
	outcome reason.Outcome
	count   *Counter
}

// Hit counts one request in a shard.
func (r *Route) Hit(shard, status int, outcome reason.Outcome) {
	r.hit(shard, uint8(status/100), outcome)
}

// layer4 takes the place of a status class for the flows of an L4 route.
const layer4 = math.MaxUint8

// L4Flow counts one connection or UDP flow of an L4 route, in a shard.
func (r *Route) L4Flow(shard int, outcome reason.Outcome) { r.hit(shard, layer4, outcome) }

func (r *Route) hit(shard int, class uint8, outcome reason.Outcome) {
	if cells := r.cells.Load(); cells != nil {
		for _, c := range *cells {
			if c.class == class && c.outcome == outcome {
				c.count.Add(shard, 1)
				return
			}
		}
	}
	r.firstHit(shard, class, outcome)
}

func (r *Route) firstHit(shard int, class uint8, outcome reason.Outcome) {
	if c := r.cell(class, outcome); c != nil {
		c.count.Add(shard, 1)
		return
	}
	r.metrics.other.hit(shard, class, outcome)
}

// cell finds or makes the cell for class and outcome. It returns nil if the limit of
// series is reached.
func (r *Route) cell(class uint8, outcome reason.Outcome) *cell {
	m := r.metrics
	m.mu.Lock()
	defer m.mu.Unlock()
	var cells []*cell
	if old := r.cells.Load(); old != nil {
		cells = append(cells, *old...)
	} else if r != m.other && r != m.unrouted && !m.takeSeries() {
		return nil
	}
	for _, c := range cells {
		if c.class == class && c.outcome == outcome {
			return c // another goroutine made it meanwhile
		}
	}
	made := &cell{class, outcome, NewCounter(m.shards)}
	cells = append(cells, made)
	r.cells.Store(&cells)
	return made
}

func (r *Route) sum() uint64 {
	sum := uint64(0)
	if cells := r.cells.Load(); cells != nil {
		for _, c := range *cells {
			sum += c.count.Sum()
		}
	}
	return sum
}

// expired reports whether the route can be removed. The lock must be held.
func (r *Route) expired(named bool) bool {
	sum := r.sum()
	gone := !named && sum == r.seen
	if r.seen = sum; gone && r.cells.Load() != nil {
		r.metrics.live--
	}
	return gone
}

// Service observes the durations of the requests to one service.
type Service struct {
	metrics *Metrics
	// Name is the service's ID.
	Name string
	// Retries counts retries under a policy, and RetriesDenied those that the retry
	// budget refused.
	Retries, RetriesDenied atomic.Uint64
	// Mirrored counts mirrored requests that got a response, MirrorsFailed those that got
	// none, and MirrorsDropped those for which there was no room.
	Mirrored, MirrorsFailed, MirrorsDropped atomic.Uint64

	hist atomic.Pointer[Histogram]
	seen uint64
}

// Observe counts one request's duration in a shard. Past the limit of series it counts
// for the service "other".
func (s *Service) Observe(shard int, d time.Duration) {
	h := s.hist.Load()
	if h == nil {
		h = s.firstObserve()
	}
	h.Observe(shard, d)
}

// firstObserve makes the histogram, or returns that of the service "other" if the limit
// of series is reached.
func (s *Service) firstObserve() *Histogram {
	m := s.metrics
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.hist.Load() == nil && !m.takeSeries() {
		s = m.otherService
	}
	if s.hist.Load() == nil {
		s.hist.Store(NewHistogram(m.shards))
	}
	return s.hist.Load()
}

func (s *Service) expired(named bool) bool {
	sum := uint64(0)
	if h := s.hist.Load(); h != nil {
		buckets, _ := h.snapshot()
		for _, n := range buckets {
			sum += n
		}
	}
	gone := !named && sum == s.seen
	if s.seen = sum; gone && s.hist.Load() != nil {
		s.metrics.live--
	}
	return gone
}

// Listener counts the connections of one listener, or the flows of a UDP listener.
type Listener struct {
	ID model.ListenerID
	// Accepted and Closed count connections; their difference is the number of open ones.
	Accepted, Closed *Counter
	// Refused counts connections refused because of a limit, and StreamsRefused HTTP/2
	// requests for which there was no room.
	Refused, StreamsRefused *Counter
	// L4In and L4Out count the bytes relayed from and to clients. Dropped counts
	// datagrams that were dropped.
	L4In, L4Out, Dropped *Counter
	// ProxyHeaders counts connections with a PROXY protocol header that names the client,
	// OwnProxyHeaders those whose header names none (LOCAL, UNKNOWN): they are the
	// sender's own. ProxyHeaderErrors counts connections without a valid header.
	ProxyHeaders, OwnProxyHeaders, ProxyHeaderErrors *Counter
	// Handshakes, Resumed and HandshakeErrors count TLS handshakes; Handshakes includes
	// the resumed ones.
	Handshakes, Resumed, HandshakeErrors *Counter
}

func newListener(id model.ListenerID, shards int) *Listener {
	l := &Listener{ID: id}
	for _, c := range []**Counter{&l.Accepted, &l.Closed, &l.Refused, &l.StreamsRefused, &l.L4In, &l.L4Out, &l.Dropped, &l.ProxyHeaders, &l.OwnProxyHeaders, &l.ProxyHeaderErrors, &l.Handshakes, &l.Resumed, &l.HandshakeErrors} {
		*c = NewCounter(shards)
	}
	return l
}
