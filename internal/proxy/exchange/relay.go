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

// Relay is a compiled rule of layer 4. It is read-only, and holds no
// Generation.
type Relay struct {
	Rule *model.Relay
	// Origin is where the rule was written, as text.
	Origin  string
	Stats   *observe.Route
	Connect time.Duration
	// Idle is 0 where the proxy's own bound holds.
	Idle time.Duration

	backends []relayBackend
	weights  []uint32 // of backends
	total    uint64
	draw     func() uint64
	access   *policy.Access
}

// relayBackend is a compiled share of a relay's connections.
type relayBackend struct {
	cluster *upstream.Cluster
	respond *model.Respond // refuses it instead
}

// Relays are those of one listener.
type Relays struct {
	// byName has the relays by server name, or by the empty one where there are
	// no names. Nil is a host of HTTP.
	byName map[string]*Relay
	// Named reports whether a connection begins with TLS, and its server name
	// counts.
	Named bool
	// HTTP reports whether what no relay takes is HTTP's.
	HTTP bool
}

// Relays returns the relays of a listener, or nil when all that comes to it is
// HTTP's, or when there is no such listener.
func (g *Generation) Relays(id model.ListenerID) *Relays { return g.relays[id] }

// Match finds the relay for a server name, which is empty where a client gave
// none. Without one, http reports whether the connection is HTTP's. r may be nil: all is
// HTTP's.
func (r *Relays) Match(name string) (relay *Relay, http bool) {
	switch {
	case r == nil:
		return nil, true
	case !r.Named:
		return r.byName[""], false
	}
	for _, pattern := range patternsOf(name) {
		if relay, known := r.byName[pattern]; known {
			return relay, relay == nil
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
func (r *Relay) Draw() (*upstream.Cluster, *model.Respond) {
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
func (r *Relay) closed() bool {
	if respond := r.Rule.Respond; respond != nil {
		return respond.Outcome == reason.Closed
	}
	open := func(b relayBackend) bool { return b.respond == nil || b.respond.Outcome != reason.Closed }
	return len(r.backends) > 0 && !slices.ContainsFunc(r.backends, open)
}

// relays compiles the relays of a snapshot, by listener.
func (c *Compiler) relays(s *model.Snapshot, all *clusters, g *Generation) (map[model.ListenerID]*Relays, error) {
	out := map[model.ListenerID]*Relays{}
	http := map[model.ListenerID]bool{}
	for _, l := range s.Config.Listeners {
		switch l.Protocol {
		case model.HTTPS:
			http[l.ID] = true
		case model.TLS, model.TCP, model.UDP:
			out[l.ID] = &Relays{byName: map[string]*Relay{}, Named: l.Protocol == model.TLS}
		}
	}
	for i := range s.Config.Relays {
		rule := s.Config.Relays[i] // a copy: a pointer would keep the Snapshot's
		compiled, unknown, err := c.relay(s, &rule, all)
		if err != nil {
			return nil, err
		}
		g.reports = append(g.reports, unknownPermissions(s, unknown)...)
		at := out[rule.Listener]
		if at == nil {
			at = &Relays{byName: map[string]*Relay{}, Named: true, HTTP: http[rule.Listener]}
			out[rule.Listener] = at
		}
		at.byName[rule.Name] = compiled
	}
	nameHosts(s, out)
	return out, nil
}

// nameHosts notes the hosts of listeners that have relays, too.
func nameHosts(s *model.Snapshot, relays map[model.ListenerID]*Relays) {
	if len(relays) == 0 {
		return
	}
	for i := range s.Config.Hosts {
		h := &s.Config.Hosts[i]
		for _, id := range h.Listeners {
			if at := relays[id]; at != nil && at.HTTP {
				if _, taken := at.byName[h.Name]; !taken {
					at.byName[h.Name] = nil
				}
			}
		}
	}
}

// relay compiles a relay. It returns the permissions that nobody here can tell, too.
func (c *Compiler) relay(s *model.Snapshot, rule *model.Relay, all *clusters) (out *Relay, unknown []string, err error) {
	out = &Relay{
		Rule: rule, Origin: s.Origins[rule.ID].Place(), Stats: c.Metrics.Route(rule.ID),
		Connect: orDefault(rule.ConnectTimeout, model.DefaultConnectTimeout), Idle: rule.IdleTimeout,
		draw: c.chance().draw,
	}
	if out.access, unknown, err = policy.NewAccess(rule.Access); err != nil {
		return nil, nil, fmt.Errorf("relay %s: %w", rule.ID, err)
	}
	for i := range rule.Backends {
		b := &rule.Backends[i]
		cluster := all.get(b.Service)
		if cluster == nil && b.Respond == nil {
			return nil, nil, fmt.Errorf("relay %s: no service %s", rule.ID, b.Service)
		}
		out.backends = append(out.backends, relayBackend{cluster, b.Respond})
		out.weights = append(out.weights, b.Weight)
		out.total += uint64(b.Weight)
	}
	return out, unknown, nil
}
