package gateway

import (
	"strconv"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
	"windrose.dev/windrose/internal/translate/backend"
)

// route is the state of the translation of one HTTPRoute.
type route struct {
	*translation
	object *source.Object[gatewayv1.HTTPRoute]
	// resolved and accepted are what the rules come to, whatever the parent.
	resolved, accepted verdict
	// partly is why a match was set aside, if one was.
	partly verdict
	refs   []backend.Ref
}

// route translates one HTTPRoute.
func (t *translation) route(object *source.Object[gatewayv1.HTTPRoute]) {
	spec := &object.Value.Spec
	hostnames := make([]string, len(spec.Hostnames))
	for i, h := range spec.Hostnames {
		hostnames[i] = strings.ToLower(string(h))
	}
	if spec.UseDefaultGateways != "" && spec.UseDefaultGateways != gatewayv1.GatewayDefaultScopeNone {
		t.report(reason.NotHonoured, object.At("spec.useDefaultGateways"), "routes attach to the Gateways that they name alone")
	}
	if len(spec.ParentRefs) == 0 {
		t.report(reason.RouteNotAttached, object.At("spec.parentRefs"), "the route names no parent")
	}
	parents := t.parents("HTTPRoute", object.Origin.Namespace, spec.ParentRefs, hostnames, object.At)
	if len(parents) == 0 {
		return
	}
	r := &route{translation: t, object: object, resolved: yes(gatewayv1.RouteReasonResolvedRefs), accepted: yes(gatewayv1.RouteReasonAccepted)}
	entries := r.entries()
	if object.State == source.Tombstone {
		entries = r.tombstone(entries)
	}
	if len(entries) == 0 && r.partly.no {
		r.accepted = r.partly
	}
	served := false
	status := make([]gatewayv1.RouteParentStatus, len(parents))
	for i, p := range parents {
		if p.accepted = r.place(p, entries); !p.accepted.no {
			served = true
		}
		status[i] = r.parentStatus(p)
	}
	if object.State != source.Tombstone { // an API server would not have it
		t.out.Status.HTTPRoutes[object.Name()] = status
	}
	if served {
		t.out.Refs = append(t.out.Refs, r.refs...)
	}
}

// place puts the rules of a route at the hosts of the listeners that take it.
func (r *route) place(p parent, entries []entry) verdict {
	if p.accepted.no {
		return p.accepted
	}
	if r.accepted.no {
		return r.accepted
	}
	for _, a := range p.takes {
		if !a.programmed() {
			continue
		}
		for _, host := range a.hosts {
			if r.owner(a.listener, host) != a.listener {
				continue
			}
			if !r.room(r.object.Origin.Namespace, len(entries), r.object.At("spec.parentRefs")) {
				return p.accepted
			}
			b := r.block(a.id(), host, host != a.host() || r.coveredByOthers(a.listener))
			r.sharing(b, a.gateway, host, r.object.At("spec.parentRefs"))
			for _, e := range entries {
				if guard := a.guard(); guard != "" {
					e.rule = closed(e.rule, guard+" is not in force")
				}
				b.add(e)
			}
		}
	}
	for i := range entries {
		r.out.Origins[entries[i].rule.ID] = r.originOf(entries[i].index)
	}
	return p.accepted
}

// maxPlaced bounds the rules of one namespace, counted at each host of each
// listener where they stand: a small file could ask for millions.
const maxPlaced = 100_000

// room tells whether n more rules of a namespace can be placed, and reports it
// once if not.
func (t *translation) room(namespace string, n int, at reason.Origin) bool {
	before := t.placed[namespace]
	t.placed[namespace] = before + n
	if before <= maxPlaced && before+n > maxPlaced {
		t.report(reason.TooLarge, at,
			"the routes of namespace %s stand at more than %d places, hosts times listeners times rules: the rest is set aside", namespace, maxPlaced)
	}
	return before+n <= maxPlaced
}

func closed(rule model.Rule, why string) model.Rule {
	return model.Rule{
		ID: rule.ID, Path: rule.Path, When: rule.When, Rank: rule.Rank,
		Respond: &model.Respond{Status: 503, Outcome: reason.Closed, Why: why},
	}
}

func (r *route) originOf(index [2]int) reason.Origin {
	return r.object.At(item(item("spec.rules", index[0])+".matches", index[1]))
}

// item is the path of one item of a list.
func item(list string, i int) string { return list + "[" + strconv.Itoa(i) + "]" }

func (r *route) parentStatus(p parent) gatewayv1.RouteParentStatus {
	c := conditions{generation: r.object.Value.Generation}
	set(&c, gatewayv1.RouteConditionAccepted, p.accepted)
	set(&c, gatewayv1.RouteConditionResolvedRefs, r.resolved)
	if r.partly.no && !p.accepted.no {
		partly := yes(r.partly.reason)
		partly.message = "Dropped Rule: " + r.partly.message // the words that the API asks for
		set(&c, gatewayv1.RouteConditionPartiallyInvalid, partly)
	}
	return gatewayv1.RouteParentStatus{ParentRef: p.ref, ControllerName: Controller, Conditions: c.list}
}

// entries makes the model's rules of a route: one a match.
func (r *route) entries() []entry {
	var out []entry
	for i := range r.object.Value.Spec.Rules {
		rule := &r.object.Value.Spec.Rules[i]
		field := item("spec.rules", i)
		does, ends := r.effects(rule, field)
		matches := rule.Matches
		if len(matches) == 0 {
			matches = []gatewayv1.HTTPRouteMatch{{}}
		}
		for j := range matches {
			e, ok := r.entry(&matches[j], item(field+".matches", j))
			if !ok && does.broken != "" {
				// A filter that is not in force guards what cannot be told: all of it.
				e.rule.Path, ok = model.PathMatch{Kind: model.PrefixPath, Value: "/"}, true
			}
			if ok {
				name := r.object.Name()
				e.index = [2]int{i, j}
				e.rule.ID = Dialect + "/" + name.Namespace + "/" + name.Name + "/" + strconv.Itoa(i) + "/" + strconv.Itoa(j)
				does.apply(&e.rule)
				ends(&e.rule)
				out = append(out, e)
			}
		}
	}
	return out
}

// effects are the actions of a rule and its end. Of a tombstone nothing but the
// matches is looked at.
func (r *route) effects(rule *gatewayv1.HTTPRouteRule, field string) (does actions, end func(*model.Rule)) {
	if r.object.State == source.Tombstone {
		return does, func(m *model.Rule) { *m = closed(*m, "the route is broken") }
	}
	does = r.actions(rule.Filters, field+".filters")
	return does, r.end(rule, field, &does)
}

// tombstone adds to the closed rules of a broken route, of which not all can be
// read, one for all else at its hosts.
func (r *route) tombstone(entries []entry) []entry {
	if !r.object.Incomplete {
		return entries
	}
	index := [2]int{len(r.object.Value.Spec.Rules), 0}
	name := r.object.Name()
	all := entry{created: r.object.Value.CreationTimestamp.Time, route: name, index: index}
	all.rule = closed(model.Rule{
		ID:   Dialect + "/" + name.Namespace + "/" + name.Name + "/" + strconv.Itoa(index[0]) + "/0",
		Path: model.PathMatch{Kind: model.PrefixPath, Value: "/"},
	}, "the route is broken, and not all of it can be read")
	return append(entries, all)
}

// end says what becomes of the requests of a rule: a function that sets exactly
// one of Forward, Redirect and Respond.
func (r *route) end(rule *gatewayv1.HTTPRouteRule, field string, does *actions) func(*model.Rule) {
	answer := func(why string) func(*model.Rule) {
		return func(m *model.Rule) {
			*m = model.Rule{
				ID: m.ID, Path: m.Path, When: m.When,
				Respond: &model.Respond{Status: 500, Outcome: reason.BackendInvalid, Why: why},
			}
		}
	}
	forward := r.forward(rule, field)
	switch {
	case does.broken != "":
		return answer(does.broken)
	case does.redirect != nil:
		return func(m *model.Rule) { m.Redirect = does.redirectFor(m.Path) }
	case forward == nil:
		return answer("the rule has no backend with a weight")
	}
	return func(m *model.Rule) { m.Forward = forward.forPath(m.Path) }
}
