package gateway

import (
	"cmp"
	"slices"
	"time"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
	"windrose.dev/windrose/internal/translate/fragment"
)

// block collects the rules for one host of one listener.
type block struct {
	fallback bool
	kind     gatewayv1.Kind // of its routes; empty if it has none
	gateway  *gateway       // of the first rule
	shared   bool           // with another Gateway, which has been reported
	rules    []entry
}

// entry is a rule with the values that decide its precedence among rules for one path.
type entry struct {
	rule model.Rule
	// service and call are the lengths, in characters, of a gRPC service and method.
	service, call    int
	method           bool
	headers, queries int
	created          time.Time
	kind             gatewayv1.Kind
	route            source.Name
	index            [2]int // of the rule in its route, and of the match in its rule
}

// compare orders by the precedence of matches (HTTPRouteRule.matches and
// GRPCRouteRule.matches).
func (a *entry) compare(b *entry) int {
	return cmp.Or(
		-cmp.Compare(a.service, b.service),
		-cmp.Compare(a.call, b.call),
		-compareBool(a.method, b.method),
		-cmp.Compare(a.headers, b.headers),
		-cmp.Compare(a.queries, b.queries),
		a.created.Compare(b.created),
		a.route.Compare(b.route),
		cmp.Compare(a.kind, b.kind),
		slices.Compare(a.index[:], b.index[:]),
	)
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

func (t *translation) block(id model.ListenerID, host string, fallback bool) *block {
	key := blockKey{id, modelHost(host)}
	b := t.blocks[key]
	if b == nil {
		b = &block{fallback: fallback}
		t.blocks[key] = b
	}
	b.fallback = b.fallback && fallback
	return b
}

// takes reports whether routes of a kind may have rules at this host. "Merging MUST not
// be done between GRPCRoutes and HTTPRoutes"; within one Gateway no host of a listener
// has both (see listener.rival).
func (b *block) takes(kind gatewayv1.Kind) bool {
	if b.kind == "" {
		b.kind = kind
	}
	return b.kind == kind
}

// add adds a rule, unless the route has already reached this host by another parentRef.
func (b *block) add(e entry) {
	for i := len(b.rules) - 1; i >= 0 && b.rules[i].route == e.route && b.rules[i].kind == e.kind; i-- {
		if b.rules[i].index == e.index {
			return
		}
	}
	b.rules = append(b.rules, e)
}

// sharing reports a host for which the routes of two Gateways have rules.
func (t *translation) sharing(b *block, g *gateway, host string, at reason.Origin) {
	if b.gateway == nil {
		b.gateway = g
	}
	if b.gateway != g && !b.shared {
		b.shared = true
		t.report(reason.HostShared, at, "host %s has routes of %s too, which shares the port", modelHost(host), b.gateway.object.Origin.Object())
	}
}

// finishBlocks ranks the rules. It also gives every listener an entry for its own host,
// where requests that match no route end.
func (t *translation) finishBlocks() {
	for _, g := range t.order {
		g.each(func(l *listener) {
			if l.programmed() && l.http() {
				t.block(l.id(), l.host(), t.coveredByOthers(l))
			}
		})
	}
	keys := make([]blockKey, 0, len(t.blocks))
	for key := range t.blocks {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b blockKey) int {
		return cmp.Or(cmp.Compare(a.host, b.host), a.listener.Compare(b.listener))
	})
	for _, key := range keys {
		b := t.blocks[key]
		h := fragment.Host{Listeners: []model.ListenerID{key.listener}, Name: key.host, Fallback: b.fallback}
		if block := b.model(); len(block.Rules) > 0 {
			h.Block = &block
		}
		t.out.Hosts = append(t.out.Hosts, h)
	}
}

// form holds what all blocks of this dialect have in common.
var form = model.Block{Dialect: Dialect}

func (b *block) model() model.Block {
	slices.SortStableFunc(b.rules, func(x, y entry) int { return x.compare(&y) })
	out := form
	if b.kind == "GRPCRoute" && slices.ContainsFunc(b.rules, func(e entry) bool { return e.rule.Path.Kind == model.RegexPath }) {
		// The length of a service takes precedence over the kind of the match, unlike in
		// the model's order of paths.
		out.Order = model.FirstMatch
	}
	next := map[model.PathMatch]uint32{}
	for _, e := range b.rules {
		if out.Order == model.BySpecificity {
			e.rule.Rank = next[e.rule.Path]
			next[e.rule.Path]++
		}
		out.Rules = append(out.Rules, e.rule)
	}
	return out
}
