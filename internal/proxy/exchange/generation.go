package exchange

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/observe"
	"windrose.dev/windrose/internal/proxy/policy"
	"windrose.dev/windrose/internal/proxy/route"
	"windrose.dev/windrose/internal/proxy/upstream"
	"windrose.dev/windrose/internal/reason"
)

// Filter is one step that a rule adds to its exchanges. Filters are made when
// a Generation is compiled, and are shared by all its exchanges.
type Filter interface {
	// Request looks at, edits or answers a request. It returns true when it
	// has answered (see Exchange.Answer).
	Request(x *Exchange) bool
	// Response edits a response head, the backend's or our own.
	Response(x *Exchange)
}

// Guard is a Filter that says who may ask. A swap asks it again for what has become a
// tunnel.
type Guard interface {
	Filter
	Asks(r *policy.Request) policy.Verdict
}

// FilterSpec is the row of a kind of filter in a data plane's table: what makes it.
type FilterSpec struct {
	Kind *model.FilterKind
	New  func(*Environment, model.Filter) (Filter, error)
}

// Spec is the row of a kind of filter, by the type that the model has for it.
func Spec[T model.Filter](make func(*Environment, T) (Filter, error)) FilterSpec {
	var zero T
	return FilterSpec{zero.Kind(), func(e *Environment, f model.Filter) (Filter, error) { return make(e, f.(T)) }}
}

// Pure is Spec for a filter that needs no Environment.
func Pure[T model.Filter](make func(T) (Filter, error)) FilterSpec {
	return Spec(func(_ *Environment, f T) (Filter, error) { return make(f) })
}

// step is a Filter with the name of its row.
type step struct {
	name string
	Filter
	finisher Finisher // the Filter, if it is one
}

// Route is a compiled rule.
type Route struct {
	Rule *model.Rule
	// Origin is where the rule was written, as text.
	Origin  string
	Stats   *observe.Route
	Connect time.Duration
	Read    time.Duration
	Send    time.Duration
	// Timeout bounds the exchange, and Attempt each attempt; 0 is no bound.
	Timeout, Attempt time.Duration
	// Retry may be nil.
	Retry *model.Retry

	origin   reason.Origin
	filters  []step
	guards   []Guard // of filters
	backends []Backend
	weights  []uint32 // of backends
	mirrors  []mirror
	affinity *affinity // nil without persistence
	total    uint64
}

// Backend is a compiled share of a rule's requests.
type Backend struct {
	cluster *upstream.Cluster
	respond *model.Respond // answers instead
	filters []step
	guards  []Guard // of filters
	mirrors []mirror
}

// mirror copies a part of the requests to a cluster.
type mirror struct {
	cluster   *upstream.Cluster
	share, of uint32
}

// clusters are those of a Generation by service, and note which are asked for.
type clusters struct {
	all  map[model.ServiceID]*upstream.Cluster
	used []*upstream.Cluster
}

// get returns the cluster of a service, or nil.
func (c *clusters) get(service model.ServiceID) *upstream.Cluster {
	found := c.all[service]
	if found != nil {
		c.used = append(c.used, found)
	}
	return found
}

func mirrors(all model.Filters, c *clusters) []mirror {
	var out []mirror
	for _, f := range all {
		m, is := f.(*model.Mirror)
		if !is {
			continue
		}
		if cluster := c.get(m.Service); cluster != nil {
			out = append(out, mirror{cluster, m.Share, m.Of})
		}
	}
	return out
}

// Generation is a Snapshot, compiled and ready to serve. It is read-only.
type Generation struct {
	// Number counts from 1.
	Number   uint64
	Snapshot *model.Snapshot
	// Clusters are by service. Their endpoints change under the Generation.
	Clusters map[model.ServiceID]*upstream.Cluster
	Routes   int

	chance      chance
	affinityKey []byte
	// names are the hosts that listeners tell apart.
	names map[model.ListenerID]map[string]bool

	table *route.Table[*Route]
	hosts []*host // as Config.Hosts
	// reports are those of hosts.
	reports []reason.Report

	l4Routes map[model.ListenerID]*L4Routes
	access   map[model.ListenerID]*policy.Access
}

// host is a compiled virtual host, which Generations share while nothing of it
// changes.
type host struct {
	table    *route.Host[*Route]
	routes   []*Route
	clusters []*upstream.Cluster // that the routes hold
	reports  []reason.Report
	keys     []string // of what its filters keep
}

// Compiler makes Generations.
type Compiler struct {
	Filters  []FilterSpec
	Registry *upstream.Registry
	Metrics  *observe.Metrics
	// AffinityKey signs what clients carry to come back to their endpoint. All
	// proxies that serve the same clients need the same.
	AffinityKey []byte
	// Draw gives random numbers and Now the time; nil has them drawn, and read.
	Draw func() uint64
	Now  func() time.Time

	kept kept
}

// Compile makes the Generation for a snapshot. What did not change since old,
// which may be nil, is taken over. Rules that use what no filter honours, or
// what their filter refuses, are closed, with a Report each.
func (c *Compiler) Compile(s *model.Snapshot, old *Generation) (*Generation, []reason.Report, error) {
	if old != nil && old.keepsRoutes(s) {
		return c.withEndpoints(s, old), slices.Concat(old.reports, c.Registry.Reports(s.Config.Services)), nil
	}
	plan := c.Registry.Prepare(s)
	g, err := c.generation(s, plan.Clusters, old)
	if err != nil {
		if plan.Discard(); old != nil {
			c.kept.retain(old.hosts)
		}
		return nil, nil, err
	}
	c.kept.retain(g.hosts)
	plan.Commit()
	return g, slices.Concat(g.reports, c.Registry.Reports(s.Config.Services)), nil
}

// keepsRoutes reports whether a snapshot differs from g's in its endpoints alone, and in
// secrets that no service is reached by.
func (g *Generation) keepsRoutes(s *model.Snapshot) bool {
	return g.Number > 0 && g.Snapshot.ConfigHash == s.ConfigHash && upstream.SameMaterial(s, g.Snapshot) && maps.Equal(g.Snapshot.Origins, s.Origins)
}

// SharesRoutes reports whether all that g has but for endpoints, and what its Snapshot has
// for listeners, is another's, too.
func (g *Generation) SharesRoutes(other *Generation) bool { return g.table == other.table }

// withEndpoints is old with the endpoints of a snapshot. No route is looked at.
func (c *Compiler) withEndpoints(s *model.Snapshot, old *Generation) *Generation {
	c.Registry.UpdateEndpoints(s, old.Snapshot)
	g := *old
	g.Number, g.Snapshot = old.Number+1, s
	return &g
}

func (c *Compiler) generation(s *model.Snapshot, all map[model.ServiceID]*upstream.Cluster, old *Generation) (g *Generation, err error) {
	g = &Generation{Number: 1, Snapshot: s, Clusters: all, chance: c.chance(), affinityKey: c.AffinityKey, names: namesOf(s)}
	if old != nil {
		g.Number = old.Number + 1
	}
	if g.hosts, err = c.hosts(s, all, old); err != nil {
		return nil, err
	}
	tables := make([]*route.Host[*Route], len(g.hosts))
	for i, h := range g.hosts {
		tables[i] = h.table
		g.Routes += len(h.routes)
		g.reports = append(g.reports, h.reports...)
	}
	g.table = route.NewTable(s.Config.Hosts, tables)
	if g.l4Routes, err = c.l4Routes(s, &clusters{all: all}, g); err != nil {
		return nil, err
	}
	g.Routes += len(s.Config.L4Routes)
	return g, c.listeners(s, g)
}

// hosts compiles the hosts of a snapshot, but for those that old has already, with
// the same clusters.
func (c *Compiler) hosts(s *model.Snapshot, all map[model.ServiceID]*upstream.Cluster, old *Generation) ([]*host, error) {
	made := map[model.Hash]*host{}
	if old != nil {
		for i, hash := range old.Snapshot.HostHashes {
			made[hash] = old.hosts[i]
		}
	}
	out := make([]*host, len(s.Config.Hosts))
	for i := range s.Config.Hosts {
		if out[i] = made[s.HostHashes[i]]; out[i] != nil && out[i].writtenWhere(s.Origins) && out[i].holds(all) {
			continue
		}
		var err error
		if out[i], err = c.host(s, &s.Config.Hosts[i], &clusters{all: all}); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// holds reports whether the routes of a host hold the clusters that there are.
func (h *host) holds(all map[model.ServiceID]*upstream.Cluster) bool {
	return !slices.ContainsFunc(h.clusters, func(c *upstream.Cluster) bool { return all[c.Service.ID] != c })
}

// writtenWhere reports whether the routes of a host were written where origins
// has them.
func (h *host) writtenWhere(origins map[string]reason.Origin) bool {
	for _, r := range h.routes {
		if origins[r.Rule.ID] != r.origin {
			return false
		}
	}
	return true
}

func (c *Compiler) host(s *model.Snapshot, h *model.Host, all *clusters) (*host, error) {
	out := &host{}
	var err error
	out.table, err = route.Compile(h, func(r *model.Rule) (*Route, error) {
		compiled, reports, err := c.route(s, r, all, &out.keys)
		out.routes = append(out.routes, compiled)
		out.reports = append(out.reports, reports...)
		return compiled, err
	})
	out.clusters = all.used
	return out, err
}

func (c *Compiler) route(s *model.Snapshot, r *model.Rule, all *clusters, keys *[]string) (*Route, []reason.Report, error) {
	origin := s.Origins[r.ID]
	out := &Route{Rule: r, Origin: origin.Place(), origin: origin, Stats: c.Metrics.Route(r.ID)}
	env, why := c.environment(r.ID, all, keys), unknownTests(r.When)
	if why == "" {
		out.filters, why = c.filters(env, stepsOf(r))
		out.guards = guardsOf(out.filters)
	}
	if why == "" && r.Forward != nil {
		var err error
		if why, err = c.forward(out, r.Forward, all, env); err != nil {
			return nil, nil, err
		}
	}
	if why != "" {
		closed := &Route{Rule: closed(r, why), Origin: out.Origin, origin: origin, Stats: out.Stats}
		return closed, []reason.Report{reason.New(reason.SnapshotUnsupported, origin, why)}, nil
	}
	return out, nil, nil
}

// environment is that of the filters of one rule.
func (c *Compiler) environment(rule string, all *clusters, keys *[]string) *Environment {
	chance := c.chance()
	return &Environment{Rule: rule, Now: chance.now, Draw: chance.draw, clusters: all, kept: &c.kept, keys: keys, slots: new(int)}
}

// filters makes the steps of a list of filters, or says why it cannot. A proxy whose
// table lacks one closes the rules that use it, unless it is optional. Mirrors are no
// steps.
func (c *Compiler) filters(env *Environment, all model.Filters) (made []step, why string) {
	for _, f := range all {
		if _, isMirror := f.(*model.Mirror); isMirror {
			continue
		}
		kind := f.Kind()
		i := slices.IndexFunc(c.Filters, func(s FilterSpec) bool { return s.Kind == kind })
		switch {
		case i < 0 && kind.Optional:
			continue
		case i < 0:
			return nil, "this proxy has no filter " + kind.Name
		}
		filter, err := c.Filters[i].New(env, f)
		if err != nil {
			return nil, fmt.Sprintf("filter %s: %v", kind.Name, err)
		}
		finisher, _ := filter.(Finisher)
		made = append(made, step{kind.Name, filter, finisher})
	}
	return made, ""
}

// stepsOf are a rule's filters, and its redirect.
func stepsOf(r *model.Rule) model.Filters {
	if r.Redirect == nil {
		return r.Filters
	}
	return append(slices.Clone(r.Filters), r.Redirect)
}

// unknownTests says which tests of a condition nobody here can tell; empty is none.
func unknownTests(p *model.Predicate) string {
	var names []string
	p.Widest(func(one *model.Predicate) bool {
		known := policy.Known(one)
		if name := one.Test.String(); !known && !slices.Contains(names, name) {
			names = append(names, name)
		}
		return known
	})
	if len(names) == 0 {
		return ""
	}
	return "this proxy cannot tell a client's " + strings.Join(names, " and ")
}

// guardsOf are those of filters that say who may ask.
func guardsOf(all []step) (guards []Guard) {
	for i := range all {
		if guard, is := all[i].Filter.(Guard); is {
			guards = append(guards, guard)
		}
	}
	return guards
}

// closed is a rule that answers 503 wherever r might match.
func closed(r *model.Rule, why string) *model.Rule {
	return &model.Rule{ID: r.ID, Path: r.Path, When: r.When.Widest(policy.Known), Rank: r.Rank, Respond: &model.Respond{Status: 503, Outcome: reason.Closed, Why: why}}
}

// forward compiles where a rule sends requests, or says why it cannot be
// honoured.
func (c *Compiler) forward(out *Route, f *model.Forward, all *clusters, env *Environment) (why string, err error) {
	out.Connect = orDefault(f.ConnectTimeout, model.DefaultConnectTimeout)
	out.Read = orDefault(f.ReadTimeout, model.DefaultReadTimeout)
	out.Send = orDefault(f.SendTimeout, model.DefaultSendTimeout)
	out.Timeout, out.Attempt, out.Retry = f.Timeout, f.AttemptTimeout, f.Retry
	out.affinity = newAffinity(f.Affinity)
	out.mirrors = mirrors(out.Rule.Filters, all)
	for i := range f.Backends {
		b := &f.Backends[i]
		one := Backend{respond: b.Respond, cluster: all.get(b.Service)}
		if one.cluster == nil && b.Respond == nil {
			return "", fmt.Errorf("rule %s: no service %s", out.Rule.ID, b.Service)
		}
		one.mirrors = mirrors(b.Filters, all)
		if one.filters, why = c.filters(env, b.Filters); why != "" {
			return why, nil
		}
		one.guards = guardsOf(one.filters)
		out.backends = append(out.backends, one)
		out.weights = append(out.weights, b.Weight)
		out.total += uint64(b.Weight)
	}
	return "", nil
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

// Rules tells which rules a Generation names, for those who forget the others.
func (g *Generation) Rules() map[string]bool {
	rules := make(map[string]bool, g.Routes)
	for _, h := range g.Snapshot.Config.Hosts {
		for _, b := range h.Blocks {
			for i := range b.Rules {
				rules[b.Rules[i].ID] = true
			}
		}
	}
	for i := range g.Snapshot.Config.L4Routes {
		rules[g.Snapshot.Config.L4Routes[i].ID] = true
	}
	return rules
}
