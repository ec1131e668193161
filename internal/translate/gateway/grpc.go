package gateway

import (
	"cmp"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/source"
)

// httpForm returns a GRPCRoute as an HTTPRoute, except for its matches. Filters, backends
// and other fields have the same meaning under the same names, so Reports name the fields
// of the GRPCRoute.
func httpForm(object *source.Object[gatewayv1.GRPCRoute]) *source.Object[gatewayv1.HTTPRoute] {
	out := &gatewayv1.HTTPRoute{ObjectMeta: object.Value.ObjectMeta}
	out.Spec.CommonRouteSpec, out.Spec.Hostnames = object.Value.Spec.CommonRouteSpec, object.Value.Spec.Hostnames
	for i := range object.Value.Spec.Rules {
		rule := &object.Value.Spec.Rules[i]
		one := gatewayv1.HTTPRouteRule{Name: rule.Name, Filters: httpFilters(rule.Filters), SessionPersistence: rule.SessionPersistence}
		for _, ref := range rule.BackendRefs {
			one.BackendRefs = append(one.BackendRefs, gatewayv1.HTTPBackendRef{BackendRef: ref.BackendRef, Filters: httpFilters(ref.Filters)})
		}
		out.Spec.Rules = append(out.Spec.Rules, one)
	}
	return &source.Object[gatewayv1.HTTPRoute]{
		Value: out, Origin: object.Origin, Lines: object.Lines, State: object.State, Incomplete: object.Incomplete,
	}
}

func httpFilters(filters []gatewayv1.GRPCRouteFilter) []gatewayv1.HTTPRouteFilter {
	var out []gatewayv1.HTTPRouteFilter
	for _, f := range filters {
		out = append(out, gatewayv1.HTTPRouteFilter{
			Type: gatewayv1.HTTPRouteFilterType(f.Type), RequestHeaderModifier: f.RequestHeaderModifier,
			ResponseHeaderModifier: f.ResponseHeaderModifier, RequestMirror: f.RequestMirror, ExtensionRef: f.ExtensionRef,
		})
	}
	return out
}

// grpcMatches are the matches of a GRPCRoute's rules.
type grpcMatches []gatewayv1.GRPCRouteRule

func (m grpcMatches) count(rule int) int { return max(1, len(m[rule].Matches)) }

// entry reads a match. A gRPC request is a POST to /service/method, so services and
// methods become paths.
func (m grpcMatches) entry(r *route, rule, match int, field string) (entry, bool) {
	e := r.newEntry()
	if len(m[rule].Matches) == 0 {
		e.rule.Path = model.PathMatch{Kind: model.PrefixPath, Value: "/"}
		return e, true
	}
	one := &m[rule].Matches[match]
	if one.Method != nil {
		e.service, e.call = len(deref(one.Method.Service, "")), len(deref(one.Method.Method, ""))
	}
	path, ok := r.callPath(one.Method, field+".method")
	if !ok {
		return e, false
	}
	e.rule.Path = path
	var all []model.Predicate
	named := map[string]bool{}
	for _, h := range one.Headers {
		name := strings.ToLower(string(h.Name))
		if named[name] {
			continue // of equivalent names the first counts (GRPCHeaderMatch.name)
		}
		named[name] = true
		all = append(all, leaf(model.HeaderIs, string(h.Name), h.Value, deref(h.Type, gatewayv1.GRPCHeaderMatchExact) != gatewayv1.GRPCHeaderMatchExact))
	}
	e.headers = len(all)
	return e, r.when(&e.rule, all, field)
}

// callPath returns the path match for the calls of a match.
func (r *route) callPath(match *gatewayv1.GRPCMethodMatch, field string) (model.PathMatch, bool) {
	var service, method string
	if match != nil {
		service, method = deref(match.Service, ""), deref(match.Method, "")
	}
	switch expression := match != nil && deref(match.Type, gatewayv1.GRPCMethodMatchExact) != gatewayv1.GRPCMethodMatchExact; {
	case service == "" && method == "":
		return model.PathMatch{Kind: model.PrefixPath, Value: "/"}, true
	case expression:
		return r.callExpression(service, method, field)
	case strings.Contains(service+method, "/"):
		r.unsupported(field, "a service or method has no slash in its name")
		return model.PathMatch{}, false
	case service == "":
		return model.PathMatch{Kind: model.RegexPath, Value: "^/[^/]+/" + method + "$"}, true
	case method == "":
		out := model.PathMatch{Kind: model.PrefixPath, Value: "/" + service}
		return out, r.usable(out.Validate(), field)
	}
	out := model.PathMatch{Kind: model.ExactPath, Value: "/" + service + "/" + method}
	return out, r.usable(out.Validate(), field)
}

// callExpression matches a service and a method, each by an RE2 expression for the whole
// name.
func (r *route) callExpression(service, method, field string) (model.PathMatch, bool) {
	service, method = cmp.Or(service, "[^/]+"), cmp.Or(method, "[^/]+")
	for _, part := range []string{service, method} {
		if !r.usable(wholeExpression(anchored(part)), field) {
			return model.PathMatch{}, false
		}
	}
	out := model.PathMatch{Kind: model.RegexPath, Value: "^/(?:" + service + ")/(?:" + method + ")$"}
	return out, r.usable(out.Validate(), field)
}
