package gateway_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/url"
	"regexp"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/observe"
	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/proxy/filter"
	"windrose.dev/windrose/internal/proxy/sock"
	"windrose.dev/windrose/internal/proxy/upstream"
	"windrose.dev/windrose/internal/source"
	"windrose.dev/windrose/internal/translate"
	"windrose.dev/windrose/internal/translate/gateway"
)

// grpcWorld is a Gateway with routes of both kinds.
type grpcWorld struct {
	world
	calls []*gatewayv1.GRPCRoute
}

var (
	grpcServices    = []string{"a", "ab", "p.a"}
	grpcMethods     = []string{"M", "Mn"}
	grpcExpressions = []string{"a.*", ".*a", "[ab]+"}
)

func newGRPCWorld(r *rand.Rand) grpcWorld {
	w := grpcWorld{world: newWorld(r)}
	w.gateways = w.gateways[:1]
	w.routes = w.routes[:min(r.IntN(3), len(w.routes))]
	for _, route := range w.routes {
		for i := range route.Spec.ParentRefs {
			route.Spec.ParentRefs[i].Name = "g0"
		}
		route.Name = "s" + route.Name[1:] // some sort before the others
	}
	for i := range 1 + r.IntN(5) {
		route := newRoute(r, i, w.gateways)
		call := &gatewayv1.GRPCRoute{ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprintf("%c%d", "rt"[r.IntN(2)], i), Namespace: "n", CreationTimestamp: metav1.NewTime(time.Unix(r.Int64N(3), 0)),
		}}
		call.Spec.CommonRouteSpec, call.Spec.Hostnames = route.Spec.CommonRouteSpec, route.Spec.Hostnames
		for _, rule := range route.Spec.Rules {
			one := gatewayv1.GRPCRouteRule{BackendRefs: []gatewayv1.GRPCBackendRef{{BackendRef: rule.BackendRefs[0].BackendRef}}}
			for range rule.Matches {
				one.Matches = append(one.Matches, newGRPCMatch(r))
			}
			call.Spec.Rules = append(call.Spec.Rules, one)
		}
		w.calls = append(w.calls, call)
	}
	return w
}

func newGRPCMatch(r *rand.Rand) gatewayv1.GRPCRouteMatch {
	var m gatewayv1.GRPCRouteMatch
	kind, service, method := gatewayv1.GRPCMethodMatchExact, pick(r, grpcServices), pick(r, grpcMethods)
	if r.IntN(5) == 0 {
		kind, service = gatewayv1.GRPCMethodMatchRegularExpression, pick(r, grpcExpressions)
	}
	m.Method = &gatewayv1.GRPCMethodMatch{Type: &kind, Service: &service, Method: &method}
	switch r.IntN(5) {
	case 0:
		m.Method = nil
	case 1:
		m.Method.Service = nil
	case 2, 3:
		m.Method.Method = nil
	}
	for _, name := range worldNames {
		if r.IntN(4) == 0 {
			m.Headers = append(m.Headers, gatewayv1.GRPCHeaderMatch{Name: gatewayv1.GRPCHeaderName(name), Value: pick(r, worldNames)})
		}
	}
	return m
}

func (w grpcWorld) set(shuffle *rand.Rand) *source.Set {
	out := w.world.set(shuffle)
	out.GRPCRoutes = objects("GRPCRoute", w.calls, shuffle)
	return out
}

// contender is a route of either kind, with the fields that GRPCRouteSpec.hostnames uses.
type contender struct {
	kind, name string
	created    int64
	parents    []gatewayv1.ParentReference
	hosts      []string
}

func newContender(kind string, meta metav1.ObjectMeta, parents []gatewayv1.ParentReference, hostnames []gatewayv1.Hostname) contender {
	c := contender{kind: kind, name: meta.Name, created: meta.CreationTimestamp.Unix(), parents: parents}
	for _, h := range hostnames {
		c.hosts = append(c.hosts, string(h))
	}
	return c
}

// accepted returns the routes that a listener accepts: in order of precedence, those that
// share no hostname with a route of the other kind.
func (w grpcWorld) accepted(l *gatewayv1.Listener) map[string]bool {
	var all []contender
	for _, route := range w.routes {
		all = append(all, newContender("HTTPRoute", route.ObjectMeta, route.Spec.ParentRefs, route.Spec.Hostnames))
	}
	for _, route := range w.calls {
		all = append(all, newContender("GRPCRoute", route.ObjectMeta, route.Spec.ParentRefs, route.Spec.Hostnames))
	}
	slices.SortFunc(all, func(a, b contender) int {
		return cmp.Or(cmp.Compare(a.created, b.created), cmp.Compare(a.name, b.name), cmp.Compare(a.kind, b.kind))
	})
	out := map[string]bool{}
	var taken []contender
	for _, c := range all {
		attaches := slices.ContainsFunc(c.parents, func(ref gatewayv1.ParentReference) bool {
			return ref.SectionName == nil || *ref.SectionName == l.Name
		})
		rivals := slices.ContainsFunc(taken, func(other contender) bool { return other.kind != c.kind && c.meets(other, l) })
		if attaches && c.meets(c, l) && !rivals {
			out[c.kind+c.name] = true
			taken = append(taken, c)
		}
	}
	return out
}

// meets reports whether both routes and the listener have any host in common.
func (c contender) meets(other contender, l *gatewayv1.Listener) bool {
	all := []string{"a.test", "b.a.test", "c.b.a.test", "d.test", "other", "x.a.test", "x.b.a.test", "x.c.b.a.test", "x.test"}
	takes := func(hosts []string, host string) bool {
		return len(hosts) == 0 || slices.ContainsFunc(hosts, func(h string) bool { return hostMatches(h, host) })
	}
	return slices.ContainsFunc(all, func(host string) bool {
		return hostMatches(hostOf(l), host) && takes(c.hosts, host) && takes(other.hosts, host)
	})
}

// answerCall finds the rule for a call by a naive search, written from the text of the
// specification (GRPCRouteRule.matches).
func (w grpcWorld) answerCall(q question, service, method string) string {
	l := w.listener(q)
	if l == nil {
		return ""
	}
	accepted := w.accepted(l)
	var found []candidate
	for _, route := range w.calls {
		if !accepted["GRPCRoute"+route.Name] {
			continue
		}
		shell := &gatewayv1.HTTPRoute{ObjectMeta: route.ObjectMeta}
		shell.Spec.Hostnames = route.Spec.Hostnames
		host, ok := w.routeHost(shell, l, q.host)
		if !ok {
			continue
		}
		for i, rule := range route.Spec.Rules {
			for j, m := range rule.Matches {
				c := candidate{
					rule: fmt.Sprintf("gateway/grpcroute/n/%s/%d/%d", route.Name, i, j), host: host, headers: len(m.Headers),
					age: int(route.CreationTimestamp.Unix()), name: route.Name, ruleIndex: i, matchIndex: j,
				}
				if m.Method != nil {
					c.exact, c.path = length(m.Method.Service), length(m.Method.Method) // in characters
				}
				if takesCall(m, service, method, q.headers) {
					found = append(found, c)
				}
			}
		}
	}
	if len(found) == 0 {
		return ""
	}
	return slices.MinFunc(found, func(a, b candidate) int {
		return cmp.Or(
			cmp.Compare(b.host, a.host), cmp.Compare(b.exact, a.exact), cmp.Compare(b.path, a.path), cmp.Compare(b.headers, a.headers),
			cmp.Compare(a.age, b.age), cmp.Compare(a.name, b.name), cmp.Compare(a.ruleIndex, b.ruleIndex), cmp.Compare(a.matchIndex, b.matchIndex))
	}).rule
}

func length(s *string) int {
	if s == nil {
		return 0
	}
	return len(*s)
}

func takesCall(m gatewayv1.GRPCRouteMatch, service, method string, headers map[string]string) bool {
	for _, h := range m.Headers {
		if headers[string(h.Name)] != h.Value {
			return false
		}
	}
	if m.Method == nil {
		return true
	}
	takes := func(wanted *string, has string) bool {
		if wanted == nil || *m.Method.Type == gatewayv1.GRPCMethodMatchExact {
			return wanted == nil || *wanted == has
		}
		return regexp.MustCompile("^(?:" + *wanted + ")$").MatchString(has)
	}
	return takes(m.Method.Service, service) && takes(m.Method.Method, method)
}

// TestRandomCalls: every gRPC call goes where the specification says, whatever the order
// in which objects are read, and no host has routes of both kinds.
func TestRandomCalls(t *testing.T) {
	opts := translate.Options{Gateway: gateway.Options{Addresses: ownAddresses}}
	taken := 0
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 1))
		w := newGRPCWorld(r)
		snapshot := translate.Build(w.set(r), opts).Snapshot
		if again := translate.Build(w.set(r), opts).Snapshot; again.Root != snapshot.Root {
			t.Fatalf("seed %d: another order, another snapshot", seed)
		}
		compiler := exchange.Compiler{
			Filters: filter.Table(), Metrics: observe.NewMetrics(1),
			Registry: upstream.NewRegistry(upstream.Config{Shards: 1, Clock: sock.NewClock()}),
		}
		g, _, err := compiler.Compile(snapshot, nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 50 {
			q, service, method := newQuestion(r, w.world), pick(r, append(grpcServices, "other")), pick(r, append(grpcMethods, "Other"))
			q.method, q.queries, q.path = "POST", nil, "/"+service+"/"+method
			ask := q.ask()
			ask.URL = (&url.URL{Scheme: "http", Host: fmt.Sprintf("%s:%d", q.host, q.port), Path: q.path}).String()
			want, got := w.answerCall(q, service, method), ""
			if e, err := exchange.Explain(g, ask); err == nil && e.Matched() {
				got = e.Rule.ID
			}
			if want != "" {
				taken++
			}
			if want != got && (want != "" || regexp.MustCompile("^gateway/grpcroute/").MatchString(got)) {
				t.Fatalf("seed %d: %+v\ngoes to %q, want %q\n%s", seed, q, got, want, model.Format(snapshot))
			}
		}
	}
	if taken < 1000 {
		t.Errorf("only %d calls are taken by a rule", taken)
	}
}
