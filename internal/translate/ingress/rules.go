package ingress

import (
	"cmp"
	"fmt"
	stdpath "path"
	"regexp/syntax"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
	"windrose.dev/windrose/internal/translate/backend"
)

// acmeChallenge is served in plain text even if a redirect to https is on, like
// ingress-nginx's no-tls-redirect-locations.
const acmeChallenge = "/.well-known/acme-challenge"

func (t *translation) host(name string) *host {
	if name == "" {
		name = "*"
	}
	h := t.hosts[name]
	if h == nil {
		h = &host{byMatch: map[model.PathMatch]*rule{}}
		t.hosts[name] = h
	}
	return h
}

// collectRules reads spec.rules and spec.defaultBackend.
func (t *translation) collectRules(in *ingress) {
	spec := in.object.Value.Spec
	named := map[string]bool{"": true}
	for i, r := range spec.Rules {
		if r.Host != "" && !isHost(r.Host) {
			t.closeNamespace(in.object) // only a tombstone can have such a host here
			continue
		}
		named[r.Host] = true
		h := t.host(r.Host)
		h.namedBy(in, i)
		t.ciphersOf(cmp.Or(r.Host, "*"), in)
		if in.closesHosts {
			h.close(in)
		}
		if r.HTTP == nil {
			continue
		}
		for j, p := range r.HTTP.Paths {
			field := fmt.Sprintf("spec.rules[%d].http.paths[%d]", i, j)
			one := t.newRule(in, fmt.Sprintf("%d/%d", i, j), field, p.Backend)
			path, ok := t.path(p, in, field)
			if ok {
				one.path, one.useRegex = path, in.expressions(cmp.Or(p.Path, "/"))
				one.rewritten = in.rewrites(cmp.Or(p.Path, "/"))
				t.addRule(r.Host, h, one)
			} else if in.closedBy != "" {
				h.close(in) // its requests must not go to another rule
			}
		}
	}
	if spec.DefaultBackend == nil {
		return
	}
	for _, name := range sortedKeys(named) {
		id := "default"
		if name != "" {
			id = "default/" + name
		}
		one := t.newRule(in, id, "spec.defaultBackend", *spec.DefaultBackend)
		t.setDefault(cmp.Or(name, "*"), one)
	}
}

// namedBy records that an Ingress names a host; rule is the index of the first rule that
// does.
func (h *host) namedBy(in *ingress, rule int) {
	if n := len(h.names); n > 0 && h.names[n-1].ingress == in {
		return
	}
	h.names = append(h.names, naming{in, rule})
}

// reportMerged reports, once, a host that several Ingresses name.
func (t *translation) reportMerged(name string, h *host) {
	if len(h.names) < 2 {
		return
	}
	first, second := h.names[0].object, h.names[1]
	t.report(reason.HostMerged, second.object.At(fmt.Sprintf("spec.rules[%d].host", second.rule)),
		"host %s is named by %d Ingresses, first by %s, %s", name, len(h.names), first.Origin.Object(), first.Origin.Place())
}

// maxPath bounds a path as written, in bytes.
const maxPath = 1000

// path reads one path. An Exact or Prefix path that can never match a request is left
// out.
func (t *translation) path(p networkingv1.HTTPIngressPath, in *ingress, field string) (model.PathMatch, bool) {
	match := model.PathMatch{Kind: model.PrefixPath, Value: p.Path}
	if p.PathType != nil && *p.PathType == networkingv1.PathTypeExact {
		match.Kind = model.ExactPath
	}
	if match.Value == "" {
		match.Value = "/"
	}
	at := in.object.At(field + ".path")
	switch depth := strings.Count(match.Value, "/"); {
	case match.Value[0] != '/':
		t.report(reason.PathInvalid, at, "path %q does not start with /", match.Value)
		t.fix("write %q", "/"+match.Value)
		return match, false
	case depth > model.MaxPathDepth:
		t.report(reason.TooLarge, at, "the path has %d elements, and no more than %d are matched", depth, model.MaxPathDepth)
		t.fix("write fewer elements: a Prefix path matches what is below it")
		return match, false
	case len(match.Value) > maxPath:
		t.report(reason.TooLarge, at, "the path has %d bytes, and no more than %d are matched", len(match.Value), maxPath)
		t.fix("write a shorter path: a Prefix path matches what is below it")
		return match, false
	}
	if in.expressions(match.Value) {
		return match, true
	}
	canonical, ok := blockForm.CanonicalPath(match.Value)
	if !ok {
		t.report(reason.PathInvalid, at, "path %q has a dot segment, and requests have none when they are matched", match.Value)
		t.fix("write %q, if that is what is meant", stdpath.Clean(canonical))
		return match, false
	}
	match.Value = canonical
	if match.Kind == model.PrefixPath {
		match.Value = "/" + strings.Trim(match.Value, "/") // a trailing slash has no meaning (Ingress API)
	}
	return match, true
}

// expressions reports whether this Ingress makes a path an expression: ingress-nginx does
// so for use-regex, and for a rewrite-target that differs from the path.
func (s *settings) expressions(path string) bool {
	return s.useRegex || s.rewrites(path)
}

// rewrites reports whether a path is rewritten. A path that equals its target is not, as
// with ingress-nginx.
func (s *settings) rewrites(path string) bool {
	return s.rewriteTarget != "" && s.rewriteTarget != path
}

func (t *translation) newRule(in *ingress, index, field string, b networkingv1.IngressBackend) *rule {
	name := in.object.Name()
	one := &rule{
		ingress: in, at: in.object.At(field),
		id: Dialect + "/" + name.Namespace + "/" + name.Name + "/" + index,
	}
	if b.Service == nil {
		t.report(reason.ResourceBackend, in.object.At(backendField(field)+".resource"), "it is not a Service")
		one.lost = &backend.Problem{Code: reason.ResourceBackend, Message: "the backend is not a Service"}
		return one
	}
	port := backend.Port{Number: b.Service.Port.Number, Name: b.Service.Port.Name}
	one.ref, one.lost = backend.Find(t.set, name.Namespace, b.Service.Name, port)
	if one.lost != nil {
		t.report(one.lost.Code, in.object.At(backendField(field)+".service"), "%s", one.lost.Message)
		return one
	}
	if policy := t.policies[one.ref.Service]; policy != "" && !strings.HasSuffix(in.upstream.protocol, "S") {
		t.report(reason.NotHonoured, in.object.At(backendField(field)+".service"),
			"%s is for Service %s, and holds for routes of the Gateway API alone: this Ingress reaches it in plain text", policy, one.ref.Service)
		t.out.Reports[len(t.out.Reports)-1].Fix = "write backend-protocol: HTTPS, proxy-ssl-secret, proxy-ssl-name and proxy-ssl-verify, or use a route"
	}
	return one
}

// policiesOf returns the name of the BackendTLSPolicy of each Service that has one.
func policiesOf(set *source.Set) map[source.Name]string {
	out := map[source.Name]string{}
	for object := range set.BackendTLSPolicies.All() {
		for _, ref := range object.Value.Spec.TargetRefs {
			if ref.Kind == "Service" && ref.Group == "" {
				out[source.Name{Namespace: object.Origin.Namespace, Name: string(ref.Name)}] = object.Origin.Object()
			}
		}
	}
	return out
}

// backendField returns the field of the backend of a path, or of the default backend.
func backendField(field string) string {
	if field == "spec.defaultBackend" {
		return field
	}
	return field + ".backend"
}

// close closes the rules that the Ingresses of one namespace have at a host. An Ingress
// cannot close the rules of other namespaces.
func (h *host) close(in *ingress) {
	if h.closedBy == nil {
		h.closedBy = map[string]*ingress{}
	}
	if namespace := in.object.Origin.Namespace; h.closedBy[namespace] == nil {
		h.closedBy[namespace] = in
	}
}

// closer returns the Ingress that closes a rule at its host, or nil.
func (h *host) closer(one *rule) *ingress { return h.closedBy[one.object.Origin.Namespace] }

// addRule adds a rule to a host, unless an older rule has its path.
func (t *translation) addRule(name string, h *host, one *rule) {
	if first, taken := h.byMatch[one.path]; taken {
		if one.closedBy != "" && first.closedBy == "" {
			t.closeConflict(h, one, first)
		}
		t.report(reason.PathConflict, one.at, "host %s path %s belongs to %s, %s", cmp.Or(name, "*"), one.path.Value, first.at.Object(), first.at.Place())
		return
	}
	h.byMatch[one.path] = one
	h.rules = append(h.rules, one)
	h.regex = h.regex || one.useRegex
	t.out.Origins[one.id] = one.at
}

// closeConflict handles a path that an open rule wins and a closed one loses. Within a
// namespace the host is closed. Across namespaces the losing Ingress cannot close it; the
// Report says so.
func (t *translation) closeConflict(h *host, one, first *rule) {
	if one.object.Origin.Namespace == first.object.Origin.Namespace {
		h.close(one.ingress)
		return
	}
	t.report(reason.GuardClosed, one.at, "the path is not closed: it belongs to %s in another namespace", first.at.Object())
	t.out.Reports[len(t.out.Reports)-1].Fix = "have that Ingress guard it, or remove it there"
}

func (t *translation) setDefault(name string, one *rule) {
	h := t.host(name)
	if h.fallback != nil {
		t.report(reason.DefaultConflict, one.at, "host %s has its default backend from %s, %s", name, h.fallback.at.Object(), h.fallback.at.Place())
		return
	}
	h.fallback = one
	t.out.Origins[one.id] = one.at
}

// shareDefault gives the default backend of the host "*" to the hosts that have none: it
// serves the requests that no host and path matches (Ingress API, DefaultBackend).
func (t *translation) shareDefault() {
	all := t.hosts["*"]
	if all == nil || all.fallback == nil {
		return
	}
	for _, name := range sortedKeys(t.hosts) {
		if h := t.hosts[name]; h.fallback == nil {
			shared := *all.fallback
			shared.id += "/" + name
			shared.hostClosedBy = all.closer(&shared)
			h.fallback = &shared
			t.out.Origins[shared.id] = shared.at
		}
	}
}

// blockForm has what all blocks of this dialect have in common: paths match as in nginx.
var blockForm = model.Block{Dialect: Dialect, MergeSlashes: true, DecodeReserved: true}

// block makes the model's block for a host.
func (t *translation) block(name string, h *host) model.Block {
	b := blockForm
	if h.regex {
		b.Order = model.FirstMatch
		// ingress-nginx orders expressions by length, then by text, both descending.
		slices.SortStableFunc(h.rules, func(x, y *rule) int {
			return cmp.Or(cmp.Compare(len(y.path.Value), len(x.path.Value)), cmp.Compare(y.path.Value, x.path.Value))
		})
	}
	expressions := map[string]int{} // by namespace
	for _, one := range h.rules {
		if h.regex && (!t.makeExpression(one) || t.tooMany(expressions, one)) {
			delete(t.out.Origins, one.id)
			continue
		}
		b.Rules = append(b.Rules, t.modelRule(name, h, one))
	}
	if h.fallback != nil {
		h.fallback.path = model.PathMatch{}
		b.Rules = append(b.Rules, t.modelRule(name, h, h.fallback))
	}
	return b
}

// maxExpressions bounds the expressions of one namespace at one host: they are tried one
// after the other, which slows all requests of the host.
const maxExpressions = 1000

// tooMany reports whether a rule exceeds the bound and must be left out. Closed rules are
// kept, so that nothing opens.
func (t *translation) tooMany(counts map[string]int, one *rule) bool {
	namespace := one.object.Origin.Namespace
	counts[namespace]++
	if counts[namespace] <= maxExpressions || one.closedBy != "" {
		return false
	}
	t.report(reason.TooLarge, one.at, "namespace %s has more than %d expressions on this host, which is the bound; this path is set aside", namespace, maxExpressions)
	t.fix("write several paths as one expression, or move some to another host")
	return true
}

// makeExpression turns a path into the expression that ingress-nginx makes of it. If RE2
// cannot parse it, the rule is left out; if the rule is closed, everything that begins
// with the literal start of the path is closed instead.
func (t *translation) makeExpression(one *rule) bool {
	pattern := "(?i)^" + one.path.Value
	if !t.compiles(one, pattern) {
		if one.closedBy == "" {
			return false
		}
		literal := one.path.Value[:strings.IndexAny(one.path.Value+"(", `\.+*?()|[]{}^$`)]
		pattern = "(?i)^" + literal[:min(len(literal), model.MaxRegexLength/2)]
	}
	if !one.useRegex {
		t.report(reason.RegexHost, one.at, "path %s is read as an expression", one.path.Value)
	}
	one.path = model.PathMatch{Kind: model.RegexPath, Value: pattern}
	return true
}

// compiles reports whether a path is a valid expression; if not, it makes a Report.
func (t *translation) compiles(one *rule, pattern string) bool {
	if len(pattern) > model.MaxRegexLength {
		t.report(reason.TooLarge, one.at, "the path is an expression of %d bytes, and no more than %d are tried", len(pattern), model.MaxRegexLength)
		t.fix("write a shorter expression, or several paths")
		return false
	}
	_, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		t.report(reason.PathInvalid, one.at, "path %q is no RE2 expression: %v", one.path.Value, err)
		t.fix("write it in RE2's syntax, which has no look-around and no back references")
	}
	return err == nil
}

// modelRule makes the model's rule, with the settings of its Ingress.
func (t *translation) modelRule(name string, h *host, one *rule) model.Rule {
	r := model.Rule{ID: one.id, Path: one.path}
	if closed := t.closed(h, one); closed != "" {
		r.Respond = &model.Respond{Status: 503, Outcome: reason.Closed, Why: closed}
		return r
	}
	r.Filters = t.filters(name, one, one.ref != nil)
	if one.ref == nil {
		r.Respond = &model.Respond{Status: 503, Outcome: reason.BackendInvalid, Why: one.lost.Message}
		return r
	}
	if problem := t.speak(one); problem != "" {
		r.Filters = nil
		r.Respond = &model.Respond{Status: 503, Outcome: reason.Closed, Why: problem}
		return r
	}
	r.Forward = &model.Forward{
		Backends:       []model.Backend{{Service: one.ref.ID(), Weight: 1}},
		ConnectTimeout: one.connect, ReadTimeout: one.read, SendTimeout: one.send,
	}
	t.out.Services = append(t.out.Services, *one.ref)
	return r
}

// filters returns the filters of a rule, in the order in which requests pass them.
// forwards says that the rule has a backend.
func (t *translation) filters(name string, one *rule, forwards bool) (out model.Filters) {
	if one.compress != nil && forwards {
		out = append(out, one.compress)
	}
	if one.forceSSL || one.sslRedirect && t.hasTLS(name, one.object.Origin.Namespace) {
		out = append(out, &model.TLSRedirect{Status: 308, Port: 443, Except: []string{acmeChallenge}})
	}
	if one.maxBody > 0 && forwards {
		out = append(out, &model.BodyLimit{Max: one.maxBody})
	}
	if one.enableCORS && !one.corsInvalid {
		cors := one.cors
		out = append(out, &cors)
	}
	if one.rewritten && one.path.Kind == model.RegexPath && forwards {
		out = append(out, &model.Rewrite{Pattern: "(?i)" + strings.TrimPrefix(one.path.Value, "(?i)^"), Target: one.rewriteTarget})
	}
	return out
}

// closed returns why a rule is closed, or an empty string.
func (t *translation) closed(h *host, one *rule) string {
	if one.closedBy != "" {
		return one.closedBy + " guards it and is not in force"
	}
	if by := cmp.Or(h.closer(one), one.hostClosedBy); by != nil {
		return fmt.Sprintf("%s of %s guards this host and is not in force", by.closedBy, by.object.Origin.Object())
	}
	if tombstone, all := t.closedNamespaces[one.object.Origin.Namespace]; all {
		return tombstone.Object() + " guarded something in this namespace and is broken"
	}
	return ""
}
