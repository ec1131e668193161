package gateway

import (
	"cmp"
	"fmt"
	"regexp/syntax"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/reason"
)

// entry makes what a match says of a model's rule.
func (r *route) entry(match *gatewayv1.HTTPRouteMatch, field string) (entry, bool) {
	e := entry{created: r.object.Value.CreationTimestamp.Time, route: r.object.Name(), headers: len(match.Headers), queries: len(match.QueryParams)}
	path, ok := r.path(match.Path, field+".path")
	if !ok {
		return e, false
	}
	e.rule.Path = path
	var all []model.Predicate
	if match.Method != nil {
		e.method = true
		all = append(all, model.Predicate{Test: model.MethodIs, Value: string(*match.Method)})
	}
	for _, h := range match.Headers {
		all = append(all, leaf(model.HeaderIs, string(h.Name), h.Value, deref(h.Type, gatewayv1.HeaderMatchExact) != gatewayv1.HeaderMatchExact))
	}
	for _, q := range match.QueryParams {
		all = append(all, leaf(model.QueryIs, string(q.Name), q.Value, deref(q.Type, gatewayv1.QueryParamMatchExact) != gatewayv1.QueryParamMatchExact))
	}
	for i := range all {
		err := all[i].Validate()
		if all[i].Comparison == model.Matches && err == nil {
			err = wholeExpression(all[i].Value)
		}
		if err != nil {
			r.unsupported(field, err.Error())
			return e, false
		}
	}
	switch len(all) {
	case 0:
	case 1:
		e.rule.When = &all[0]
	default:
		e.rule.When = &model.Predicate{Test: model.All, Of: all}
	}
	return e, true
}

// leaf is a test of a value. Expressions match the whole of it.
func leaf(test model.Test, name, value string, expression bool) model.Predicate {
	p := model.Predicate{Test: test, Name: name, Value: value}
	if expression {
		p.Comparison, p.Value = model.Matches, anchored(value)
	}
	return p
}

// anchored has an expression match the whole of a text.
func anchored(expression string) string { return "^(?:" + expression + ")$" }

// wholeExpression tells whether what was anchored is an expression by itself,
// so that it cannot close the group that it was put in.
func wholeExpression(text string) error {
	_, err := syntax.Parse(strings.TrimSuffix(strings.TrimPrefix(text, "^(?:"), ")$"), syntax.Perl)
	return err
}

// unsupported takes a match out and says so. The route is accepted for the rest,
// if there is any.
func (r *route) unsupported(field, message string) {
	r.partly = no(gatewayv1.RouteReasonUnsupportedValue, field+": "+message)
	r.report(reason.InvalidValue, r.object.At(field), "%s", message)
}

// path reads a path match. Paths are compared in their canonical form.
func (r *route) path(match *gatewayv1.HTTPPathMatch, field string) (model.PathMatch, bool) {
	if match == nil {
		return model.PathMatch{Kind: model.PrefixPath, Value: "/"}, true
	}
	value := deref(match.Value, "/")
	kind := deref(match.Type, gatewayv1.PathMatchPathPrefix)
	if kind == gatewayv1.PathMatchRegularExpression {
		out := model.PathMatch{Kind: model.RegexPath, Value: anchored(value)}
		if err := cmp.Or(out.Validate(), wholeExpression(out.Value)); err != nil {
			r.unsupported(field+".value", err.Error())
			return out, false
		}
		return out, true
	}
	canonical, ok := form.CanonicalPath(value)
	if !ok {
		r.unsupported(field+".value", fmt.Sprintf("path %q has dot segments, which no request has when it is matched", value))
		return model.PathMatch{}, false
	}
	out := model.PathMatch{Kind: model.ExactPath, Value: canonical}
	if kind == gatewayv1.PathMatchPathPrefix {
		out = model.PathMatch{Kind: model.PrefixPath, Value: "/" + strings.Trim(canonical, "/")}
	}
	if err := out.Validate(); err != nil {
		r.unsupported(field+".value", err.Error())
		return out, false
	}
	return out, true
}
