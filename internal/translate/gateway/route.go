package gateway

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
	"windrose.dev/windrose/internal/translate/annotation"
	"windrose.dev/windrose/internal/translate/backend"
	"windrose.dev/windrose/internal/translate/status"
)

// route is the state of the translation of one HTTPRoute or GRPCRoute.
type route struct {
	*translation
	kind gatewayv1.Kind
	// object is the route. A GRPCRoute is converted to an HTTPRoute without matches.
	object  *source.Object[gatewayv1.HTTPRoute]
	matches matches
	// resolved and accepted are the verdicts on the rules, the same for all parents.
	resolved, accepted verdict
	// partly says why a match was left out, if one was.
	partly verdict
	refs   []backend.Ref
	// gateways are the Gateways that accept the route.
	gateways []source.Name
	// compress is how the responses of an HTTPRoute are compressed, or nil.
	compress *model.Compress
}

// matches are the matches of the rules of a route.
type matches interface {
	// count returns the number of matches of a rule; a rule without any counts as one
	// that matches everything.
	count(rule int) int
	// entry returns the model's rule for a match, without its effects.
	entry(r *route, rule, match int, field string) (entry, bool)
}

// routes returns the HTTPRoutes and GRPCRoutes in the order in which they are attached:
// the oldest first, then by name, regardless of the kind.
func (t *translation) routes() []*route {
	var out []*route
	for object := range t.set.HTTPRoutes.All() {
		out = append(out, &route{translation: t, kind: "HTTPRoute", object: object, matches: httpMatches(object.Value.Spec.Rules)})
	}
	for object := range t.set.GRPCRoutes.All() {
		out = append(out, &route{translation: t, kind: "GRPCRoute", object: httpForm(object), matches: grpcMatches(object.Value.Spec.Rules)})
	}
	slices.SortStableFunc(out, func(a, b *route) int {
		return cmp.Or(a.object.Value.CreationTimestamp.Compare(b.object.Value.CreationTimestamp.Time),
			a.object.Name().Compare(b.object.Name()), cmp.Compare(a.kind, b.kind))
	})
	return out
}

// translate translates one route.
func (r *route) translate() {
	object, spec := r.object, &r.object.Value.Spec
	hostnames := make([]string, len(spec.Hostnames))
	for i, h := range spec.Hostnames {
		hostnames[i] = strings.ToLower(string(h))
	}
	if spec.UseDefaultGateways != "" && spec.UseDefaultGateways != gatewayv1.GatewayDefaultScopeNone {
		r.report(reason.NotHonoured, object.At("spec.useDefaultGateways"), "routes attach to the Gateways that they name alone")
	}
	if len(spec.ParentRefs) == 0 {
		r.report(reason.RouteNotAttached, object.At("spec.parentRefs"), "the route names no parent")
	}
	parents := r.parents(r.kind, object.Origin.Namespace, spec.ParentRefs, hostnames, object.At)
	if len(parents) == 0 {
		return
	}
	r.resolved, r.accepted = yes(gatewayv1.RouteReasonResolvedRefs), yes(gatewayv1.RouteReasonAccepted)
	r.gateways = gatewaysOf(parents)
	r.compress = r.compression()
	entries := r.entries()
	if object.State == source.Tombstone {
		entries = r.tombstone(entries)
	}
	if len(entries) == 0 && r.partly.no {
		r.accepted = r.partly
	}
	served := false
	said := status.Object{Ref: refOf(string(r.kind), object.Name()), Generation: object.Value.Generation}
	for _, p := range parents {
		if p.accepted = r.place(p, entries); !p.accepted.no {
			served = true
		}
		said.Parents = append(said.Parents, r.parentStatus(p))
	}
	if object.State != source.Tombstone { // an API server would refuse a tombstone
		r.out.Status = append(r.out.Status, said)
	}
	if served {
		r.out.Services = append(r.out.Services, r.refs...)
	}
}

// place adds the rules of a route at the hosts of the listeners that accept it.
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
			if !b.takes(r.kind) {
				r.report(reason.RouteNotAttached, r.object.At("spec.parentRefs"), "host %s on port %d has routes of kind %s, of another Gateway that shares the port", modelHost(host), a.spec.Port, b.kind)
				continue
			}
			r.sharing(b, a.gateway, host, r.object.At("spec.parentRefs"))
			for _, e := range entries {
				if a.guard != "" {
					e.rule = closed(e.rule, a.guard+" is not in force")
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

// maxPlaced bounds the rules of one namespace, counted at each host of each listener
// where they stand: otherwise a small file could ask for millions.
const maxPlaced = 100_000

// room reports whether n more rules of a namespace can be placed. If not, it makes a
// Report, once.
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

// item returns the path of one item of a list.
func item(list string, i int) string { return list + "[" + strconv.Itoa(i) + "]" }

func (r *route) parentStatus(p parent) status.Parent {
	var c conditions
	set(&c, gatewayv1.RouteConditionAccepted, p.accepted)
	set(&c, gatewayv1.RouteConditionResolvedRefs, r.resolved)
	if r.partly.no && !p.accepted.no {
		partly := yes(r.partly.reason)
		partly.message = "Dropped Rule: " + r.partly.message // as the API asks
		set(&c, gatewayv1.RouteConditionPartiallyInvalid, partly)
	}
	return status.Parent{Ref: parentRef(p.ref), Controller: string(Controller), Conditions: c}
}

// entries returns the model's rules of a route, one for each match.
func (r *route) entries() []entry {
	var out []entry
	for i := range r.object.Value.Spec.Rules {
		rule := &r.object.Value.Spec.Rules[i]
		field := item("spec.rules", i)
		does, ends := r.effects(rule, field)
		for j := range r.matches.count(i) {
			e, ok := r.matches.entry(r, i, j, item(field+".matches", j))
			if !ok && (does.broken != "" || r.object.State == source.Tombstone) {
				// It is unknown what the broken match guards, so close everything.
				e.rule.Path, ok = model.PathMatch{Kind: model.PrefixPath, Value: "/"}, true
			}
			if ok {
				e.index = [2]int{i, j}
				e.rule.ID = r.ruleID(i, j)
				e.rule.Filters = does.filters(e.rule.Path)
				ends(&e.rule)
				out = append(out, e)
			}
		}
	}
	return out
}

// compression returns how the responses of the route are compressed. gRPC responses never
// are.
func (r *route) compression() *model.Compress {
	if r.kind != "HTTPRoute" {
		return nil
	}
	written := r.object.Value.Annotations
	out, err := annotation.Compress(written, r.opts.Compress)
	if err != nil {
		at := r.object.At("metadata.annotations[" + annotation.CompressName + "]")
		r.out.Reports = append(r.out.Reports, annotation.Invalid(at, written[annotation.CompressName], err))
	}
	return out
}

// newEntry returns an empty entry of this route.
func (r *route) newEntry() entry {
	return entry{created: r.object.Value.CreationTimestamp.Time, kind: r.kind, route: r.object.Name()}
}

// ruleID returns the ID of a rule. For HTTPRoutes the kind is left out.
func (r *route) ruleID(rule, match int) string {
	prefix := Dialect + "/"
	if r.kind != "HTTPRoute" {
		prefix += strings.ToLower(string(r.kind)) + "/"
	}
	return prefix + r.object.Name().String() + "/" + strconv.Itoa(rule) + "/" + strconv.Itoa(match)
}

// effects returns the actions of a rule and its end. For a tombstone only the matches are
// read.
func (r *route) effects(rule *gatewayv1.HTTPRouteRule, field string) (does actions, end func(*model.Rule)) {
	if r.object.State == source.Tombstone {
		return does, func(m *model.Rule) { *m = closed(*m, "the route is broken") }
	}
	does = r.actions(rule.Filters, field+".filters")
	return does, r.end(rule, field, &does)
}

// tombstone returns the closed rules of a broken route. If not all of the route could be
// read, it adds a rule that closes everything else at its hosts.
func (r *route) tombstone(entries []entry) []entry {
	if !r.object.Incomplete {
		return entries
	}
	all := r.newEntry()
	all.index = [2]int{len(r.object.Value.Spec.Rules), 0}
	all.rule = closed(model.Rule{
		ID: r.ruleID(all.index[0], 0), Path: model.PathMatch{Kind: model.PrefixPath, Value: "/"},
	}, "the route is broken, and not all of it can be read")
	return append(entries, all)
}

// end returns a function that sets exactly one of Forward, Redirect and Respond of a
// rule.
func (r *route) end(rule *gatewayv1.HTTPRouteRule, field string, does *actions) func(*model.Rule) {
	answer := func(why string) func(*model.Rule) {
		return func(m *model.Rule) {
			*m = model.Rule{
				ID: m.ID, Path: m.Path, When: m.When,
				Respond: r.failure(why),
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
	return func(m *model.Rule) {
		m.Forward = forward.forPath(m.Path)
		if r.compress != nil {
			m.Filters = append(model.Filters{r.compress}, m.Filters...)
		}
	}
}

// failure returns the response of a rule without a valid backend: 500, or 503 for gRPC,
// whose clients take 503 for UNAVAILABLE as GRPCRouteRule.backendRefs asks.
func (r *route) failure(why string) *model.Respond {
	status := 500
	if r.kind == "GRPCRoute" {
		status = 503
	}
	return &model.Respond{Status: status, Outcome: reason.BackendInvalid, Why: why}
}
