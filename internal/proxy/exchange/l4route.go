package exchange

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/observe"
	"windrose.dev/windrose/internal/proxy/balance"
	"windrose.dev/windrose/internal/proxy/policy"
	"windrose.dev/windrose/internal/proxy/upstream"
	"windrose.dev/windrose/internal/reason"
)

// L4Route is a compiled rule of layer 4. It is read-only, and holds no
// Generation.
type L4Route struct {
	Rule *model.L4Route
	// Origin is where the rule was written, as text.
	Origin  string
	Stats   *observe.Route
	Connect time.Duration
	// Idle is 0 where the proxy's own bound holds.
	Idle time.Duration

	backends []l4RouteBackend
	weights  []uint32 // of backends
	total    uint64
	draw     func() uint64
	access   *policy.Access
}

// l4RouteBackend is a compiled share of an L4 route's connections.
type l4RouteBackend struct {
	cluster *upstream.Cluster
	respond *model.Respond // refuses it instead
}

// L4Routes are those of one listener.
type L4Routes struct {
	// byName has the L4 routes by server name, or by the empty one where there are
	// no names. Nil is a host of HTTP.
	byName map[string]*L4Route
	// Named reports whether a connection begins with TLS, and its server name
	// counts.
	Named bool
	// HTTP reports whether what no L4 route takes is HTTP's.
	HTTP bool
}

// L4Routes returns the L4 routes of a listener, or nil when all that comes to it is
// HTTP's, or when there is no such listener.
func (g *Generation) L4Routes(id model.ListenerID) *L4Routes { return g.l4Routes[id] }

// Match finds the L4 route for a server name, which is empty where a client gave
// none. Without one, http reports whether the connection is HTTP's. r may be nil: all is
// HTTP's.
func (r *L4Routes) Match(name string) (l4Route *L4Route, http bool) {
	switch {
	case r == nil:
		return nil, true
	case !r.Named:
		return r.byName[""], false
	}
	for _, pattern := range patternsOf(name) {
		if l4Route, known := r.byName[pattern]; known {
			return l4Route, l4Route == nil
		}
	}
	return nil, r.HTTP
}

// maxName bounds the names that are looked up: no host has a longer one (RFC
// 1035 §2.3.4), and a hostile one could have thousands of labels.
const maxName = 253

// patternsOf lists the names that stand for a name, the most specific first
// (see model.Host).
func patternsOf(name string) []string {
	if name == "" || len(name) > maxName {
		return []string{"*"}
	}
	out := append(make([]string, 0, 8), name)
	for suffix, first := name, true; ; first = false {
		_, parent, found := strings.Cut(suffix, ".")
		if !found {
			return append(out, "*")
		}
		if first {
			out = append(out, "*."+parent)
		}
		out = append(out, "**."+parent)
		suffix = parent
	}
}

// Draw chooses a cluster by weight, or returns why the connection is refused.
func (r *L4Route) Draw() (*upstream.Cluster, *model.Respond) {
	if r.Rule.Respond != nil {
		return nil, r.Rule.Respond
	}
	i := 0
	if len(r.backends) > 1 || r.total == 0 {
		i = balance.ByWeight(r.weights, r.total, r.draw())
	}
	switch {
	case i < 0:
		return nil, &model.Respond{Outcome: reason.BackendInvalid, Why: "no backend has a weight"}
	case r.backends[i].respond != nil:
		return nil, r.backends[i].respond
	}
	c := r.backends[i].cluster.For(r.Rule.Listener)
	if c.Closed != "" {
		return nil, &model.Respond{Outcome: reason.Closed, Why: c.Closed}
	}
	return c, nil
}

// closed reports whether the rule is closed as a whole, or all its backends are.
func (r *L4Route) closed() bool {
	if respond := r.Rule.Respond; respond != nil {
		return respond.Outcome == reason.Closed
	}
	open := func(b l4RouteBackend) bool { return b.respond == nil || b.respond.Outcome != reason.Closed }
	return len(r.backends) > 0 && !slices.ContainsFunc(r.backends, open)
}

// l4Routes compiles the L4 routes of a snapshot, by listener.
func (c *Compiler) l4Routes(s *model.Snapshot, all *clusters, g *Generation) (map[model.ListenerID]*L4Routes, error) {
	out := map[model.ListenerID]*L4Routes{}
	http := map[model.ListenerID]bool{}
	for _, l := range s.Config.Listeners {
		switch l.Protocol {
		case model.HTTPS:
			http[l.ID] = true
		case model.TLS, model.TCP, model.UDP:
			out[l.ID] = &L4Routes{byName: map[string]*L4Route{}, Named: l.Protocol == model.TLS}
		}
	}
	for i := range s.Config.L4Routes {
		rule := s.Config.L4Routes[i] // a copy: a pointer would keep the Snapshot's
		compiled, unknown, err := c.l4Route(s, &rule, all)
		if err != nil {
			return nil, err
		}
		g.reports = append(g.reports, unknownPermissions(s, unknown)...)
		at := out[rule.Listener]
		if at == nil {
			at = &L4Routes{byName: map[string]*L4Route{}, Named: true, HTTP: http[rule.Listener]}
			out[rule.Listener] = at
		}
		at.byName[rule.Name] = compiled
	}
	nameHosts(s, out)
	return out, nil
}

// nameHosts notes the hosts of listeners that have L4 routes, too.
func nameHosts(s *model.Snapshot, l4Routes map[model.ListenerID]*L4Routes) {
	if len(l4Routes) == 0 {
		return
	}
	for i := range s.Config.Hosts {
		h := &s.Config.Hosts[i]
		for _, id := range h.Listeners {
			if at := l4Routes[id]; at != nil && at.HTTP {
				if _, taken := at.byName[h.Name]; !taken {
					at.byName[h.Name] = nil
				}
			}
		}
	}
}

// l4Route compiles an L4 route. It returns the permissions that nobody here can tell, too.
func (c *Compiler) l4Route(s *model.Snapshot, rule *model.L4Route, all *clusters) (out *L4Route, unknown []string, err error) {
	out = &L4Route{
		Rule: rule, Origin: s.Origins[rule.ID].Place(), Stats: c.Metrics.Route(rule.ID),
		Connect: orDefault(rule.ConnectTimeout, model.DefaultConnectTimeout), Idle: rule.IdleTimeout,
		draw: c.chance().draw,
	}
	if out.access, unknown, err = policy.NewAccess(rule.Access); err != nil {
		return nil, nil, fmt.Errorf("L4 route %s: %w", rule.ID, err)
	}
	for i := range rule.Backends {
		b := &rule.Backends[i]
		cluster := all.get(b.Service)
		if cluster == nil && b.Respond == nil {
			return nil, nil, fmt.Errorf("L4 route %s: no service %s", rule.ID, b.Service)
		}
		out.backends = append(out.backends, l4RouteBackend{cluster, b.Respond})
		out.weights = append(out.weights, b.Weight)
		out.total += uint64(b.Weight)
	}
	return out, unknown, nil
}
