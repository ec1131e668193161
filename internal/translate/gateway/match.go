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

// httpMatches are the matches of an HTTPRoute's rules.
type httpMatches []gatewayv1.HTTPRouteRule

func (m httpMatches) count(rule int) int { return max(1, len(m[rule].Matches)) }

func (m httpMatches) entry(r *route, rule, match int, field string) (entry, bool) {
	one := gatewayv1.HTTPRouteMatch{}
	if len(m[rule].Matches) > 0 {
		one = m[rule].Matches[match]
	}
	e := r.newEntry()
	e.headers, e.queries = len(one.Headers), len(one.QueryParams)
	path, ok := r.path(one.Path, field+".path")
	if !ok {
		return e, false
	}
	e.rule.Path = path
	var all []model.Predicate
	if one.Method != nil {
		e.method = true
		all = append(all, model.Predicate{Test: model.MethodIs, Value: string(*one.Method)})
	}
	for _, h := range one.Headers {
		all = append(all, leaf(model.HeaderIs, string(h.Name), h.Value, deref(h.Type, gatewayv1.HeaderMatchExact) != gatewayv1.HeaderMatchExact))
	}
	for _, q := range one.QueryParams {
		all = append(all, leaf(model.QueryIs, string(q.Name), q.Value, deref(q.Type, gatewayv1.QueryParamMatchExact) != gatewayv1.QueryParamMatchExact))
	}
	return e, r.when(&e.rule, all, field)
}

// when adds all conditions to a rule. It returns false if any of them is invalid.
func (r *route) when(rule *model.Rule, all []model.Predicate, field string) bool {
	for i := range all {
		err := all[i].Validate()
		if all[i].Comparison == model.Matches && err == nil {
			err = wholeExpression(all[i].Value)
		}
		if err != nil {
			r.unsupported(field, err.Error())
			return false
		}
	}
	switch len(all) {
	case 0:
	case 1:
		rule.When = &all[0]
	default:
		rule.When = &model.Predicate{Test: model.All, Of: all}
	}
	return true
}

// leaf returns a test of a value. An expression must match the whole value.
func leaf(test model.Test, name, value string, expression bool) model.Predicate {
	p := model.Predicate{Test: test, Name: name, Value: value}
	if expression {
		p.Comparison, p.Value = model.Matches, anchored(value)
	}
	return p
}

// anchored makes an expression match the whole text.
func anchored(expression string) string { return "^(?:" + expression + ")$" }

// wholeExpression reports whether an anchored expression is valid by itself, so that it
// cannot close the group that it was put in.
func wholeExpression(text string) error {
	_, err := syntax.Parse(strings.TrimSuffix(strings.TrimPrefix(text, "^(?:"), ")$"), syntax.Perl)
	return err
}

// unsupported records that a match is left out. The route is accepted for its other
// matches, if there are any.
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
		return out, r.usable(cmp.Or(out.Validate(), wholeExpression(out.Value)), field+".value")
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
	return out, r.usable(out.Validate(), field+".value")
}

// usable reports whether a match has no error; if it has one, it reports it.
func (r *route) usable(err error, field string) bool {
	if err != nil {
		r.unsupported(field, err.Error())
	}
	return err == nil
}
