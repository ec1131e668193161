package gateway

import (
	"fmt"
	"slices"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
	"windrose.dev/windrose/internal/translate/backend"
	"windrose.dev/windrose/internal/translate/status"
)

// l4RoutePlace is the place of one L4 route: a server name of a listener, or the whole
// listener.
type l4RoutePlace struct {
	listener model.ListenerID
	name     string
}

// l4Object is a TLSRoute, TCPRoute or UDPRoute. The three kinds have the same fields, but
// only a TLSRoute has hostnames.
type l4Object struct {
	*translation
	kind       gatewayv1.Kind
	name       source.Name
	generation int64
	spec       *gatewayv1.CommonRouteSpec
	hostnames  []string
	// backends are the backends of its only rule (maxItems 1).
	backends []gatewayv1.BackendRef
	gateways []source.Name // whose listeners accept the route
	at       func(field string) reason.Origin
	// broken means that the route is a tombstone: its places are closed.
	broken bool

	resolved verdict
}

// l4Routes translates the routes of layer 4, the oldest first.
func (t *translation) l4Routes() {
	for _, o := range byAge(t.set.TLSRoutes) {
		r := newL4Object(t, o, "TLSRoute", o.Value.Generation, &o.Value.Spec.CommonRouteSpec)
		for _, rule := range o.Value.Spec.Rules {
			r.backends = append(r.backends, rule.BackendRefs...)
		}
		for _, h := range o.Value.Spec.Hostnames {
			r.hostnames = append(r.hostnames, strings.ToLower(string(h)))
		}
		r.translate()
	}
	for _, o := range byAge(t.set.TCPRoutes) {
		r := newL4Object(t, o, "TCPRoute", o.Value.Generation, &o.Value.Spec.CommonRouteSpec)
		for _, rule := range o.Value.Spec.Rules {
			r.backends = append(r.backends, rule.BackendRefs...)
		}
		r.translate()
	}
	for _, o := range byAge(t.set.UDPRoutes) {
		r := newL4Object(t, o, "UDPRoute", o.Value.Generation, &o.Value.Spec.CommonRouteSpec)
		for _, rule := range o.Value.Spec.Rules {
			r.backends = append(r.backends, rule.BackendRefs...)
		}
		r.translate()
	}
	t.isolate()
}

func newL4Object[T any](t *translation, o *source.Object[T], kind gatewayv1.Kind, generation int64, spec *gatewayv1.CommonRouteSpec) *l4Object {
	return &l4Object{
		translation: t, kind: kind, name: o.Name(), generation: generation, spec: spec, at: o.At,
		broken: o.State == source.Tombstone, resolved: yes(gatewayv1.RouteReasonResolvedRefs),
	}
}

// translate places the route at the listeners that accept it.
func (r *l4Object) translate() {
	if len(r.spec.ParentRefs) == 0 {
		r.report(reason.RouteNotAttached, r.at("spec.parentRefs"), "the route names no parent")
	}
	if r.spec.UseDefaultGateways != "" && r.spec.UseDefaultGateways != gatewayv1.GatewayDefaultScopeNone {
		r.report(reason.NotHonoured, r.at("spec.useDefaultGateways"), "routes attach to the Gateways that they name alone")
	}
	parents := r.parents(r.kind, r.name.Namespace, r.spec.ParentRefs, r.hostnames, r.at)
	if len(parents) == 0 {
		return
	}
	r.gateways = gatewaysOf(parents)
	var backends []found
	if !r.broken {
		backends = r.findAll()
	}
	said := status.Object{Ref: refOf(string(r.kind), r.name), Generation: r.generation}
	for _, p := range parents {
		for _, a := range p.takes {
			if a.programmed() {
				r.place(a, backends)
			}
		}
		var c conditions
		set(&c, gatewayv1.RouteConditionAccepted, p.accepted)
		set(&c, gatewayv1.RouteConditionResolvedRefs, r.resolved)
		said.Parents = append(said.Parents, status.Parent{Ref: parentRef(p.ref), Controller: string(Controller), Conditions: c})
	}
	if !r.broken { // an API server would refuse a broken one
		r.out.Status = append(r.out.Status, said)
	}
}

// id returns the ID of the route's L4 routes.
func (r *l4Object) id() string {
	return strings.ToLower(string(r.kind)) + "/" + r.name.String() + "/0"
}

// place adds the route at its hosts on a listener, except where an older route has the
// place already.
func (r *l4Object) place(a attachment, backends []found) {
	for _, host := range a.hosts {
		at := l4RoutePlace{listener: a.id()}
		if a.protocol() == model.TLS {
			if r.owner(a.listener, host) != a.listener {
				continue
			}
			at.name = modelHost(host)
		}
		if i, taken := r.l4RouteAt[at]; taken {
			r.conflict(at, &r.out.L4[i])
			continue
		}
		if !r.room(r.name.Namespace, 1, r.at("spec.parentRefs")) {
			return
		}
		r.l4RouteAt[at] = len(r.out.L4)
		r.out.L4 = append(r.out.L4, r.l4Route(at, a, backends))
		r.out.Origins[r.id()] = r.at("spec.rules[0]")
	}
}

// conflict reports a place that an older route has already. If that is the same route, by
// another parentRef, it is no conflict.
func (r *l4Object) conflict(at l4RoutePlace, first *model.L4Route) {
	if first.ID == r.id() {
		return
	}
	what := "all of it"
	if at.name != "" {
		what = at.name
	}
	origin := r.out.Origins[first.ID]
	r.report(reason.L4RouteConflict, r.at("spec.parentRefs"), "on port %s %s belongs to %s, %s", at.listener, what, origin.Object(), origin.Place())
}

// l4Route returns the model's L4 route for one place.
func (r *l4Object) l4Route(at l4RoutePlace, a attachment, backends []found) model.L4Route {
	out := model.L4Route{ID: r.id(), Listener: at.listener, Name: at.name, Terminate: a.protocol() == model.TLS && a.terminates()}
	switch {
	case a.guard != "":
		out.Respond = &model.Respond{Status: 503, Outcome: reason.Closed, Why: a.guard + " is not in force"}
		return out
	case r.broken:
		out.Respond = &model.Respond{Status: 503, Outcome: reason.Closed, Why: "the route is broken"}
		return out
	}
	if !slices.ContainsFunc(backends, func(b found) bool { return b.weight > 0 }) {
		out.Respond = &model.Respond{Status: 503, Outcome: reason.BackendInvalid, Why: "the rule has no backend with a weight"}
		return out
	}
	for _, b := range backends {
		one := model.Backend{Weight: b.weight}
		var ref *backend.Ref
		if ref, one.Respond = b.reached(at.name != "" && !out.Terminate); one.Respond == nil {
			one.Service = ref.ID()
			r.out.Services = append(r.out.Services, *ref)
		}
		out.Backends = append(out.Backends, one)
	}
	return out
}

// found is the result of resolving a backendRef: a Service, or the reason for having
// none.
type found struct {
	weight uint32
	ref    *backend.Ref
	lost   *lost
	// secured is the Service over the proxy's own TLS. If TLS is needed but not possible,
	// refused says why.
	secured *backend.Ref
	refused string
}

// reached returns how to connect to a backend, or why connections to it are refused. With
// passthrough the client speaks TLS with the backend itself, so the proxy adds none.
func (f *found) reached(passthrough bool) (*backend.Ref, *model.Respond) {
	switch {
	case f.lost != nil:
		return nil, &model.Respond{Status: 503, Outcome: reason.BackendInvalid, Why: f.lost.message}
	case passthrough:
		return f.ref, nil
	case f.refused != "":
		return nil, &model.Respond{Status: 503, Outcome: reason.Closed, Why: f.refused}
	case f.secured != nil:
		return f.secured, nil
	}
	return f.ref, nil
}

// findAll resolves the route's backendRefs.
func (r *l4Object) findAll() []found {
	var out []found
	for i := range r.backends {
		ref := &r.backends[i]
		field := item("spec.rules[0].backendRefs", i)
		f := found{weight: uint32(deref(ref.Weight, 1))}
		f.ref, f.lost = r.referred(string(r.kind), r.name.Namespace, ref.BackendObjectReference, r.kind == "UDPRoute")
		if f.lost != nil {
			r.lose(f.lost, field)
		} else if r.secure(&f); f.refused != "" && !r.passesThrough() {
			r.lose(&lost{no(gatewayv1.RouteReasonUnsupportedProtocol, f.refused), reason.GuardClosed}, field)
		}
		out = append(out, f)
	}
	return out
}

func (r *l4Object) lose(l *lost, field string) {
	if !r.resolved.no {
		r.resolved = l.verdict
	}
	r.report(l.code, r.at(field), "%s", l.message)
}

// passesThrough reports whether clients speak TLS with the backend itself at all
// listeners of the route.
func (r *l4Object) passesThrough() bool {
	if r.kind != "TLSRoute" {
		return false
	}
	for _, ref := range r.spec.ParentRefs {
		listeners, _ := r.listenersOf(ref, r.name.Namespace)
		for _, l := range listeners {
			if l.protocol() == model.TLS && l.terminates() && (ref.SectionName == nil || l.spec.Name == *ref.SectionName) {
				return false
			}
		}
	}
	return true
}

// secure decides whether the proxy must use TLS to a backend: if a policy asks for it, or
// if the backend speaks TLS and a TLSRoute terminates the client's. Bytes that come by
// TCP may already be TLS.
func (r *l4Object) secure(f *found) {
	if r.kind == "UDPRoute" {
		return
	}
	policy := r.policyFor(f.ref, r.gateways)
	switch {
	case policy != nil && policy.tls == nil:
		f.refused = policy.object.Origin.Object() + " guards this backend and is not in force: " + policy.why()
	case policy != nil:
		ref := *f.ref
		ref.TLS, ref.TLSFrom, ref.Protocol = policy.tls, "policy:"+policy.object.Origin.Name, model.Opaque
		f.secured = &ref
	case r.kind == "TLSRoute" && f.ref.Asked().TLS:
		f.refused = fmt.Sprintf("the backend speaks %s, and no BackendTLSPolicy says whom to trust", f.ref.AppProtocol)
	}
}

// isolate adds an L4 route that refuses connections for each TLS listener whose host has
// no route, if otherwise a less specific listener of the same Gateway would get the host.
func (t *translation) isolate() {
	for _, g := range t.order {
		g.each(func(l *listener) {
			at := l4RoutePlace{l.id(), modelHost(l.host())}
			if _, routed := t.l4RouteAt[at]; routed || l.protocol() != model.TLS || !l.programmed() || !t.coveredBySibling(l) || t.coveredByOthers(l) {
				return
			}
			id := "listener/" + l.namespace + "/" + l.parentName() + "/" + string(l.spec.Name)
			t.l4RouteAt[at] = len(t.out.L4)
			t.out.L4 = append(t.out.L4, model.L4Route{
				ID: id, Listener: at.listener, Name: at.name,
				Respond: &model.Respond{Status: 404, Outcome: reason.NoRoute, Why: "no route has the listener's hostname"},
			})
			t.out.Origins[id] = l.origin("hostname")
		})
	}
}

// parentName returns the name of the object that has the listener.
func (l *listener) parentName() string {
	if l.set != nil {
		return "set/" + l.set.object.Name().Name
	}
	return l.gateway.object.Name().Name
}
