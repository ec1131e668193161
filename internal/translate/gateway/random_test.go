package gateway_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/observe"
	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/proxy/filter"
	"windrose.dev/windrose/internal/proxy/sock"
	"windrose.dev/windrose/internal/proxy/upstream"
	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
	"windrose.dev/windrose/internal/translate"
	"windrose.dev/windrose/internal/translate/gateway"
)

// world is a random set of Gateways and routes, small enough for collisions.
type world struct {
	gateways []*gatewayv1.Gateway
	routes   []*gatewayv1.HTTPRoute
}

var (
	worldHosts   = []string{"", "a.test", "b.a.test", "c.b.a.test", "*.test", "*.a.test", "*.b.a.test"}
	worldPaths   = []string{"/", "/a", "/a/b", "/a/b/c", "/ab", "/b"}
	worldNames   = []string{"x", "y"}
	worldMethods = []gatewayv1.HTTPMethod{"GET", "POST"}
)

func pick[T any](r *rand.Rand, all []T) T { return all[r.IntN(len(all))] }

func newWorld(r *rand.Rand) world {
	var w world
	for g := range 1 + r.IntN(2) {
		gw := &gatewayv1.Gateway{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("g%d", g), Namespace: "n"}, Spec: gatewayv1.GatewaySpec{GatewayClassName: "c"}}
		for i := range 1 + r.IntN(3) {
			l := gatewayv1.Listener{Name: gatewayv1.SectionName(fmt.Sprintf("l%d", i)), Port: 8000 + r.Int32N(2), Protocol: gatewayv1.HTTPProtocolType}
			if host := gatewayv1.Hostname(pick(r, worldHosts)); host != "" {
				l.Hostname = &host
			}
			gw.Spec.Listeners = append(gw.Spec.Listeners, l)
		}
		w.gateways = append(w.gateways, gw)
	}
	for i := range 1 + r.IntN(5) {
		w.routes = append(w.routes, newRoute(r, i, w.gateways))
	}
	return w
}

func newRoute(r *rand.Rand, i int, gateways []*gatewayv1.Gateway) *gatewayv1.HTTPRoute {
	route := &gatewayv1.HTTPRoute{ObjectMeta: metav1.ObjectMeta{
		Name: fmt.Sprintf("r%d", i), Namespace: "n", CreationTimestamp: metav1.NewTime(time.Unix(r.Int64N(3), 0)),
	}}
	for range 1 + r.IntN(2) {
		ref := gatewayv1.ParentReference{Name: gatewayv1.ObjectName(pick(r, gateways).Name)}
		if r.IntN(2) == 0 {
			section := gatewayv1.SectionName(fmt.Sprintf("l%d", r.IntN(3)))
			ref.SectionName = &section
		}
		route.Spec.ParentRefs = append(route.Spec.ParentRefs, ref)
	}
	for range r.IntN(3) {
		if host := pick(r, worldHosts); host != "" {
			route.Spec.Hostnames = append(route.Spec.Hostnames, gatewayv1.Hostname(host))
		}
	}
	for range 1 + r.IntN(3) {
		port := gatewayv1.PortNumber(80)
		rule := gatewayv1.HTTPRouteRule{BackendRefs: []gatewayv1.HTTPBackendRef{{BackendRef: gatewayv1.BackendRef{
			BackendObjectReference: gatewayv1.BackendObjectReference{Name: "s", Port: &port},
		}}}}
		for range 1 + r.IntN(2) {
			rule.Matches = append(rule.Matches, newMatch(r))
		}
		route.Spec.Rules = append(route.Spec.Rules, rule)
	}
	return route
}

func newMatch(r *rand.Rand) gatewayv1.HTTPRouteMatch {
	kind, path := pick(r, []gatewayv1.PathMatchType{gatewayv1.PathMatchExact, gatewayv1.PathMatchPathPrefix}), pick(r, worldPaths)
	m := gatewayv1.HTTPRouteMatch{Path: &gatewayv1.HTTPPathMatch{Type: &kind, Value: &path}}
	if r.IntN(3) == 0 {
		method := pick(r, worldMethods)
		m.Method = &method
	}
	for _, name := range worldNames {
		if r.IntN(4) == 0 {
			m.Headers = append(m.Headers, gatewayv1.HTTPHeaderMatch{Name: gatewayv1.HTTPHeaderName(name), Value: pick(r, worldNames)})
		}
		if r.IntN(4) == 0 {
			m.QueryParams = append(m.QueryParams, gatewayv1.HTTPQueryParamMatch{Name: gatewayv1.HTTPHeaderName(name), Value: pick(r, worldNames)})
		}
	}
	return m
}

func objects[T any](kind string, all []*T, shuffle *rand.Rand) source.Index[T] {
	out := make([]*source.Object[T], len(all))
	for i, value := range all {
		m := any(value).(metav1.Object)
		out[i] = &source.Object[T]{Value: value, Origin: reason.Origin{Kind: kind, Namespace: m.GetNamespace(), Name: m.GetName()}}
	}
	shuffle.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return source.NewIndex(out)
}

func (w world) set(shuffle *rand.Rand) *source.Set {
	class := &gatewayv1.GatewayClass{ObjectMeta: metav1.ObjectMeta{Name: "c"}, Spec: gatewayv1.GatewayClassSpec{ControllerName: gateway.Controller}}
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "s", Namespace: "n"},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80, Protocol: corev1.ProtocolTCP}}},
	}
	return &source.Set{
		GatewayClasses: objects("GatewayClass", []*gatewayv1.GatewayClass{class}, shuffle),
		Gateways:       objects("Gateway", w.gateways, shuffle),
		HTTPRoutes:     objects("HTTPRoute", w.routes, shuffle),
		Services:       objects("Service", []*corev1.Service{service}, shuffle),
	}
}

// question is a random request, as the naive matcher needs it.
type question struct {
	gateway, host, path string
	port                int32
	method              gatewayv1.HTTPMethod
	headers, queries    map[string]string
}

func newQuestion(r *rand.Rand, w world) question {
	q := question{
		gateway: pick(r, w.gateways).Name, host: pick(r, []string{"a.test", "b.a.test", "c.b.a.test", "d.test", "other"}),
		path: pick(r, append(worldPaths, "/a/b/c/d", "/c")), port: 8000 + r.Int32N(2), method: pick(r, worldMethods),
		headers: map[string]string{}, queries: map[string]string{},
	}
	for _, name := range worldNames {
		if r.IntN(2) == 0 {
			q.headers[name] = pick(r, worldNames)
		}
		if r.IntN(2) == 0 {
			q.queries[name] = pick(r, worldNames)
		}
	}
	return q
}

// hostMatches and hostWeight interpret a hostname of the Gateway API: a wildcard stands
// for any number of labels, and is less specific than any name.
func hostMatches(pattern, host string) bool {
	if suffix, wildcard := strings.CutPrefix(pattern, "*"); wildcard {
		return strings.HasSuffix(host, suffix) && len(host) > len(suffix)
	}
	return pattern == "" || pattern == host
}

func hostWeight(pattern string) int {
	if pattern != "" && pattern[0] != '*' {
		return 1000 + len(pattern)
	}
	return len(pattern)
}

// candidate is a match for the request, with the values that decide its precedence.
type candidate struct {
	rule                          string
	host, exact, path             int
	method, headers, queries, age int
	name                          string
	ruleIndex, matchIndex         int
}

// answer finds the rule for a request by a naive search, written from the text of the
// specification (HTTPRouteRule.matches, HTTPRouteSpec.hostnames, Gateway's listener
// isolation). It returns an empty string if there is none.
func (w world) answer(q question) string {
	l := w.listener(q)
	if l == nil {
		return ""
	}
	var found []candidate
	for _, route := range w.routes {
		if !w.attached(route, q.gateway, l) {
			continue
		}
		if host, ok := w.routeHost(route, l, q.host); ok {
			found = append(found, q.candidates(route, host)...)
		}
	}
	if len(found) == 0 {
		return ""
	}
	return slices.MinFunc(found, func(a, b candidate) int {
		return cmp.Or(
			cmp.Compare(b.host, a.host), cmp.Compare(b.exact, a.exact), cmp.Compare(b.path, a.path), cmp.Compare(b.method, a.method),
			cmp.Compare(b.headers, a.headers), cmp.Compare(b.queries, a.queries), cmp.Compare(a.age, b.age),
			cmp.Compare(a.name, b.name), cmp.Compare(a.ruleIndex, b.ruleIndex), cmp.Compare(a.matchIndex, b.matchIndex))
	}).rule
}

// listener returns the most specific listener that has no conflict with another.
func (w world) listener(q question) *gatewayv1.Listener {
	var best *gatewayv1.Listener
	for _, g := range w.gateways {
		for i := range g.Spec.Listeners {
			l := &g.Spec.Listeners[i]
			if g.Name != q.gateway || l.Port != q.port || !hostMatches(hostOf(l), q.host) || conflicted(g, i) {
				continue
			}
			if best == nil || hostWeight(hostOf(l)) > hostWeight(hostOf(best)) {
				best = l
			}
		}
	}
	return best
}

func hostOf(l *gatewayv1.Listener) string {
	if l.Hostname == nil {
		return ""
	}
	return string(*l.Hostname)
}

func conflicted(g *gatewayv1.Gateway, i int) bool {
	for j := range g.Spec.Listeners {
		a, b := &g.Spec.Listeners[i], &g.Spec.Listeners[j]
		if i != j && a.Port == b.Port && hostOf(a) == hostOf(b) {
			return true
		}
	}
	return false
}

func (w world) attached(route *gatewayv1.HTTPRoute, gateway string, l *gatewayv1.Listener) bool {
	return slices.ContainsFunc(route.Spec.ParentRefs, func(ref gatewayv1.ParentReference) bool {
		return string(ref.Name) == gateway && (ref.SectionName == nil || *ref.SectionName == l.Name)
	})
}

// routeHost returns the weight of the most specific hostname of both route and listener
// that matches a host.
func (w world) routeHost(route *gatewayv1.HTTPRoute, l *gatewayv1.Listener, host string) (weight int, ok bool) {
	if len(route.Spec.Hostnames) == 0 {
		return hostWeight(hostOf(l)), true
	}
	for _, h := range route.Spec.Hostnames {
		if hostMatches(string(h), host) {
			ok = true
			weight = max(weight, hostWeight(string(h)), hostWeight(hostOf(l)))
		}
	}
	return weight, ok
}

func (q question) candidates(route *gatewayv1.HTTPRoute, host int) (out []candidate) {
	for i, rule := range route.Spec.Rules {
		for j, m := range rule.Matches {
			c := candidate{
				rule: fmt.Sprintf("gateway/n/%s/%d/%d", route.Name, i, j), host: host, headers: len(m.Headers), queries: len(m.QueryParams),
				age: int(route.CreationTimestamp.Unix()), name: route.Name, ruleIndex: i, matchIndex: j, path: len(*m.Path.Value),
			}
			takes := *m.Path.Value == q.path
			if *m.Path.Type == gatewayv1.PathMatchExact {
				c.exact = 1
			} else {
				takes = takes || *m.Path.Value == "/" || strings.HasPrefix(q.path, *m.Path.Value+"/")
			}
			if m.Method != nil {
				c.method = 1
				takes = takes && *m.Method == q.method
			}
			for _, h := range m.Headers {
				takes = takes && q.headers[string(h.Name)] == h.Value
			}
			for _, p := range m.QueryParams {
				takes = takes && q.queries[string(p.Name)] == p.Value
			}
			if takes {
				out = append(out, c)
			}
		}
	}
	return out
}

// ask returns the question in the form that the engine's explain takes.
func (q question) ask() exchange.Question {
	u := url.URL{Scheme: "http", Host: fmt.Sprintf("%s:%d", q.host, q.port), Path: q.path}
	values := url.Values{}
	for name, value := range q.queries {
		values.Set(name, value)
	}
	u.RawQuery = values.Encode()
	out := exchange.Question{Method: string(q.method), URL: u.String(), Gateway: "n/" + q.gateway}
	for name, value := range q.headers {
		out.Headers = append(out.Headers, model.Header{Name: name, Value: value})
	}
	return out
}

// ownAddresses gives every Gateway its own ports.
func ownAddresses(source.Name, []gatewayv1.GatewaySpecAddress) ([]gatewayv1.GatewayStatusAddress, gateway.Problem) {
	ip := gatewayv1.IPAddressType
	return []gatewayv1.GatewayStatusAddress{{Type: &ip, Value: "127.0.0.1"}}, gateway.Problem{}
}

// TestRandomWorlds: the order in which objects are read changes nothing, and every
// request goes where the specification says.
func TestRandomWorlds(t *testing.T) {
	opts := translate.Options{Gateway: gateway.Options{Addresses: ownAddresses}}
	taken := 0
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 0))
		w := newWorld(r)
		snapshot := translate.Build(w.set(r), opts).Snapshot
		for range 3 {
			if again := translate.Build(w.set(r), opts).Snapshot; again.Root != snapshot.Root {
				t.Fatalf("seed %d: another order, another snapshot", seed)
			}
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
			q := newQuestion(r, w)
			want, got := w.answer(q), ""
			e, err := exchange.Explain(g, q.ask())
			if err == nil && e.Matched() {
				got = e.Rule.ID
				taken++
			}
			if got != want {
				t.Fatalf("seed %d: %+v\ngoes to %q, want %q\n%s", seed, q, got, want, model.Format(snapshot))
			}
		}
	}
	if taken < 1000 {
		t.Errorf("only %d requests of the random worlds are taken by a rule", taken)
	}
}
