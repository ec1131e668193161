package ingress

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/translate/backend"
)

// acmeChallenge is served in plain text even where a redirect to https is on,
// as ingress-nginx's no-tls-redirect-locations has it.
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
		named[r.Host] = true
		h := t.host(r.Host)
		if in.closesHosts && h.closedBy == nil {
			h.closedBy = in
		}
		if r.HTTP == nil {
			continue
		}
		for j, p := range r.HTTP.Paths {
			field := fmt.Sprintf("spec.rules[%d].http.paths[%d]", i, j)
			one := t.newRule(in, fmt.Sprintf("%d/%d", i, j), field, p.Backend)
			if path, ok := t.path(p, in, field); ok {
				one.path = path
				t.addRule(r.Host, h, one)
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

// path reads one path. An Exact or Prefix path that could never match a
// request is set aside.
func (t *translation) path(p networkingv1.HTTPIngressPath, in *ingress, field string) (model.PathMatch, bool) {
	match := model.PathMatch{Kind: model.PrefixPath, Value: p.Path}
	if p.PathType != nil && *p.PathType == networkingv1.PathTypeExact {
		match.Kind = model.ExactPath
	}
	if match.Value == "" {
		match.Value = "/"
	}
	switch {
	case match.Value[0] != '/':
		t.report(reason.PathInvalid, in.object.At(field+".path"), "path %q does not start with /", match.Value)
		return match, false
	case strings.Count(match.Value, "/") > model.MaxPathDepth:
		t.report(reason.PathInvalid, in.object.At(field+".path"), "the path has more than %d elements", model.MaxPathDepth)
		return match, false
	case len(match.Value) > model.MaxRegexLength:
		t.report(reason.PathInvalid, in.object.At(field+".path"), "the path is longer than %d bytes", model.MaxRegexLength)
		return match, false
	}
	if in.expressions(match.Value) {
		return match, true
	}
	canonical, ok := canonicalPath(match.Value)
	if !ok {
		t.report(reason.PathInvalid, in.object.At(field+".path"), "path %q has dot segments, which no request has when it is matched", match.Value)
		return match, false
	}
	match.Value = canonical
	if match.Kind == model.PrefixPath {
		match.Value = "/" + strings.Trim(match.Value, "/") // a trailing slash says nothing (Ingress API)
	}
	return match, true
}

// expressions tells whether this Ingress itself has a path read as an
// expression: ingress-nginx does so for use-regex, and for a rewrite-target
// that differs from the path.
func (s *settings) expressions(path string) bool {
	return s.useRegex || s.rewriteTarget != "" && s.rewriteTarget != path
}

func (t *translation) newRule(in *ingress, index, field string, b networkingv1.IngressBackend) *rule {
	name := in.object.Name()
	one := &rule{
		ingress: in, at: in.object.At(field),
		id: Dialect + "/" + name.Namespace + "/" + name.Name + "/" + index,
	}
	if b.Service == nil {
		t.report(reason.ResourceBackend, in.object.At(field+".backend.resource"), "it is not a Service")
		one.lost = &backend.Problem{Code: reason.ResourceBackend, Message: "the backend is not a Service"}
		return one
	}
	port := backend.Port{Number: b.Service.Port.Number, Name: b.Service.Port.Name}
	one.ref, one.lost = backend.Find(t.set, name.Namespace, b.Service.Name, port)
	if one.lost != nil {
		at := field + ".backend.service"
		if field == "spec.defaultBackend" {
			at = field + ".service"
		}
		t.report(one.lost.Code, in.object.At(at), "%s", one.lost.Message)
	}
	return one
}

// addRule adds a rule to a host, unless an older one has its path.
func (t *translation) addRule(name string, h *host, one *rule) {
	one.tight = one.expressions(one.path.Value)
	if first, taken := h.byMatch[one.path]; taken {
		t.report(reason.PathConflict, one.at, "host %s path %s belongs to %s, %s", cmp.Or(name, "*"), one.path.Value, first.at.Object(), first.at.Place())
		return
	}
	h.byMatch[one.path] = one
	h.rules = append(h.rules, one)
	h.regex = h.regex || one.tight
	t.out.Origins[one.id] = one.at
}

func (t *translation) setDefault(name string, one *rule) {
	h := t.host(name)
	if h.standard != nil {
		t.report(reason.DefaultConflict, one.at, "host %s has its default backend from %s, %s", name, h.standard.at.Object(), h.standard.at.Place())
		return
	}
	h.standard = one
	t.out.Origins[one.id] = one.at
}

// shareDefault gives the default backend for any host to the hosts that have
// none: it takes what no host and path matches (Ingress API, DefaultBackend).
func (t *translation) shareDefault() {
	any := t.hosts["*"]
	if any == nil || any.standard == nil {
		return
	}
	for _, name := range sortedKeys(t.hosts) {
		if h := t.hosts[name]; h.standard == nil {
			shared := *any.standard
			shared.id += "/" + name
			h.standard = &shared
			t.out.Origins[shared.id] = shared.at
		}
	}
}

// block makes the model's block for a host.
func (t *translation) block(name string, h *host) model.Block {
	b := model.Block{Dialect: Dialect, MergeSlashes: true}
	if h.regex {
		b.Order = model.FirstMatch
		// ingress-nginx orders expressions by length, then by text, both
		// descending.
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
	if h.standard != nil {
		h.standard.path = model.PathMatch{}
		b.Rules = append(b.Rules, t.modelRule(name, h, h.standard))
	}
	return b
}

// maxExpressions bounds the expressions that one namespace has on one host:
// they are tried one after the other, at everyone's cost.
const maxExpressions = 1000

// tooMany tells whether a rule is beyond the bound and is set aside. What is
// closed stays, so that nothing opens.
func (t *translation) tooMany(counts map[string]int, one *rule) bool {
	namespace := one.object.Origin.Namespace
	counts[namespace]++
	if counts[namespace] <= maxExpressions || one.closedBy != "" {
		return false
	}
	t.report(reason.TooLarge, one.at, "namespace %s has more than %d expressions on this host; this path is set aside", namespace, maxExpressions)
	return true
}

// makeExpression turns a path into the expression that ingress-nginx makes of
// it. One that RE2 does not understand is set aside; if it was guarded, what
// stands before its first special character is closed.
func (t *translation) makeExpression(one *rule) bool {
	pattern := "(?i)^" + one.path.Value
	if _, err := regexp.Compile(pattern); err != nil {
		t.report(reason.PathInvalid, one.at, "path %q is no RE2 expression: %v", one.path.Value, err)
		last := &t.out.Reports[len(t.out.Reports)-1]
		last.Fix = "write it in RE2's syntax, which has no look-around and no back references"
		if one.closedBy == "" {
			return false
		}
		literal := one.path.Value[:strings.IndexAny(one.path.Value+"(", `\.+*?()|[]{}^$`)]
		pattern = "(?i)^" + regexp.QuoteMeta(literal)
	}
	if !one.tight {
		t.report(reason.RegexHost, one.at, "path %s is read as an expression", one.path.Value)
	}
	one.path = model.PathMatch{Kind: model.RegexPath, Value: pattern}
	return true
}

// modelRule makes the model's rule. Its settings are those of its Ingress.
func (t *translation) modelRule(name string, h *host, one *rule) model.Rule {
	r := model.Rule{ID: one.id, Path: one.path}
	if closed := t.closed(h, one); closed != "" {
		r.Respond = &model.Respond{Status: 503, Outcome: reason.Closed, Why: closed}
		return r
	}
	if one.forceSSL || one.sslRedirect && t.hasTLS(name) {
		r.TLSRedirect = &model.TLSRedirect{Status: 308, Port: 443, Except: []string{acmeChallenge}}
	}
	if one.enableCORS {
		cors := one.cors
		r.CORS = &cors
	}
	if one.ref == nil {
		r.Respond = &model.Respond{Status: 503, Outcome: reason.BackendInvalid, Why: one.lost.Message}
		return r
	}
	if one.rewriteTarget != "" && one.path.Kind == model.RegexPath && one.tight {
		r.Rewrite = &model.Rewrite{Pattern: "(?i)" + strings.TrimPrefix(one.path.Value, "(?i)^"), Target: one.rewriteTarget}
	}
	r.MaxBody = one.maxBody
	r.Forward = &model.Forward{
		Backends:       []model.Backend{{Service: one.ref.ID(), Weight: 1}},
		ConnectTimeout: one.connect, ReadTimeout: one.read, SendTimeout: one.send,
	}
	t.out.Refs = append(t.out.Refs, *one.ref)
	return r
}

// closed says why a rule is closed, or nothing.
func (t *translation) closed(h *host, one *rule) string {
	if one.closedBy != "" {
		return one.closedBy + " guards it and is not in force"
	}
	if by := h.closedBy; by != nil {
		return fmt.Sprintf("%s of %s guards this host and is not in force", by.closedBy, by.object.Origin.Object())
	}
	if tombstone, all := t.closedNamespaces[one.object.Origin.Namespace]; all {
		return tombstone.Object() + " guarded something in this namespace and is broken"
	}
	return ""
}
