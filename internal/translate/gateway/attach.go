package gateway

import (
	"fmt"
	"slices"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
)

// attachment is a listener that accepts a route, with the hosts that both have.
type attachment struct {
	*listener
	hosts []string
}

// parent is one parentRef of a route that refers to an object that we serve.
type parent struct {
	ref      gatewayv1.ParentReference
	accepted verdict
	takes    []attachment
}

// parents reads the parentRefs of a route.
func (t *translation) parents(kind gatewayv1.Kind, namespace string, refs []gatewayv1.ParentReference, hostnames []string, at func(string) reason.Origin) []parent {
	var out []parent
	counted := map[*listener]bool{} // count a route once at each listener
	for i, ref := range refs {
		listeners, ours := t.listenersOf(ref, namespace)
		if !ours {
			t.reportParent(ref, namespace, at(item("spec.parentRefs", i)))
			continue
		}
		p := parent{ref: ref}
		p.takes, p.accepted = t.attach(kind, namespace, ref, hostnames, listeners)
		if p.accepted.no {
			t.report(reason.RouteNotAttached, at(fmt.Sprintf("spec.parentRefs[%d]", i)), "%s", p.accepted.message)
		}
		for _, a := range p.takes {
			if !counted[a.listener] {
				counted[a.listener] = true
				a.attached++
			}
		}
		out = append(out, p)
	}
	return out
}

// gatewaysOf returns the Gateways of the listeners that accept a route.
func gatewaysOf(parents []parent) []source.Name {
	var out []source.Name
	for _, p := range parents {
		for _, a := range p.takes {
			if name := a.gateway.object.Name(); !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	return out
}

// reportParent reports a parentRef to an object that we do not serve, unless that object
// has a Report of its own.
func (t *translation) reportParent(ref gatewayv1.ParentReference, namespace string, at reason.Origin) {
	kind := deref(ref.Kind, "Gateway")
	in := string(deref(ref.Namespace, gatewayv1.Namespace(namespace)))
	switch {
	case kind == "Gateway" && t.set.Gateways.Get(in, string(ref.Name)) != nil,
		kind == "ListenerSet" && t.set.ListenerSets.Get(in, string(ref.Name)) != nil:
	case kind == "Service":
		t.report(reason.NotHonoured, at, "routes within the mesh, with a Service as their parent, are not served yet")
	default:
		t.report(reason.RouteNotAttached, at, "there is no %s %s/%s", kind, in, ref.Name)
	}
}

// listenersOf returns the listeners of a parent, and reports whether we serve it.
func (t *translation) listenersOf(ref gatewayv1.ParentReference, namespace string) ([]*listener, bool) {
	if deref(ref.Group, gatewayv1.GroupName) != gatewayv1.GroupName {
		return nil, false
	}
	name := source.Name{Namespace: string(deref(ref.Namespace, gatewayv1.Namespace(namespace))), Name: string(ref.Name)}
	switch deref(ref.Kind, "Gateway") {
	case "Gateway":
		if g := t.gateways[name]; g != nil {
			return g.listeners, true
		}
	case "ListenerSet":
		if s := t.sets[name]; s != nil && s.refused == nil {
			return s.listeners, true
		}
	}
	return nil, false
}

// attach returns the listeners of a parent that accept the route. If none is left, the
// verdict says which check failed.
func (t *translation) attach(kind gatewayv1.Kind, namespace string, ref gatewayv1.ParentReference, hostnames []string, all []*listener) ([]attachment, verdict) {
	named, allowed, common := 0, 0, 0
	var out []attachment
	for _, l := range all {
		if ref.SectionName != nil && l.spec.Name != *ref.SectionName || ref.Port != nil && l.spec.Port != *ref.Port {
			continue
		}
		named++
		if !l.takesKind(kind) || !t.takesNamespace(l, namespace) {
			continue
		}
		allowed++
		hosts := intersectAll(l.host(), hostnames)
		if len(hosts) == 0 {
			continue
		}
		common++
		if !l.rival(kind, hosts) {
			l.claim(kind, hosts)
			out = append(out, attachment{l, hosts})
		}
	}
	switch {
	case named == 0:
		return nil, no(gatewayv1.RouteReasonNoMatchingParent, "the parent has no listener with this sectionName and port")
	case allowed == 0:
		return nil, no(gatewayv1.RouteReasonNotAllowedByListeners, "no listener of the parent allows routes of this kind and namespace")
	case common == 0:
		return nil, no(gatewayv1.RouteReasonNoMatchingListenerHostname, "no listener of the parent has a hostname in common with "+strings.Join(hostnames, ", "))
	case len(out) == 0:
		return nil, no(reasonRouteConflict, "an older route, or one that comes first by name, of the other of HTTPRoute and GRPCRoute has a hostname in common with it")
	}
	return out, yes(gatewayv1.RouteReasonAccepted)
}

func (l *listener) takesKind(kind gatewayv1.Kind) bool {
	for _, k := range l.kinds {
		if k.Kind == string(kind) {
			return true
		}
	}
	return false
}

// takesNamespace reports whether allowedRoutes.namespaces allows a namespace.
func (t *translation) takesNamespace(l *listener, namespace string) bool {
	from := gatewayv1.NamespacesFromSame
	allowed := l.spec.AllowedRoutes
	if allowed == nil || allowed.Namespaces == nil {
		return t.takes(from, nil, l.namespace, namespace)
	}
	return t.takes(deref(allowed.Namespaces.From, from), allowed.Namespaces.Selector, l.namespace, namespace)
}

// owner returns the listener that a host belongs to: among those of one Gateway and its
// ListenerSets, the one with the most specific hostname on the port. Routes of the other
// listeners do not serve the host (Gateway API, "listener isolation").
func (t *translation) owner(l *listener, host string) *listener {
	best := l
	consider := func(pattern string) {
		for _, other := range t.atHost[hostPlace{l.id(), pattern}] {
			if other.gateway == l.gateway && other.usable() && moreSpecific(pattern, best.host()) {
				best = other
			}
		}
	}
	consider(host)
	for _, wider := range widerHosts(host) {
		consider(wider)
	}
	return best
}

// coveredBy reports whether a programmed listener on the same port that suits has a less
// specific hostname, which covers that of l.
func (t *translation) coveredBy(l *listener, suits func(other *listener) bool) bool {
	return slices.ContainsFunc(widerHosts(l.host()), func(wider string) bool {
		return slices.ContainsFunc(t.atHost[hostPlace{l.id(), wider}], func(other *listener) bool {
			return suits(other) && other.programmed()
		})
	})
}

// coveredByOthers reports whether another Gateway that shares the port has a less
// specific listener for the same host: requests that match no route then go to it.
func (t *translation) coveredByOthers(l *listener) bool {
	return t.coveredBy(l, func(other *listener) bool { return other.gateway != l.gateway })
}

// coveredBySibling reports whether a less specific listener of the same Gateway covers
// the host of l.
func (t *translation) coveredBySibling(l *listener) bool {
	return t.coveredBy(l, func(other *listener) bool { return other.gateway == l.gateway })
}
