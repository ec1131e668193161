package gateway

import (
	"fmt"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/reason"
)

// actions are the effects of the filters of a rule, or of one of its backends.
type actions struct {
	edit     *model.Edit
	cors     *model.CORS
	mirrors  []*model.Mirror
	rewrite  *gatewayv1.HTTPURLRewriteFilter
	redirect *gatewayv1.HTTPRequestRedirectFilter
	// broken says why requests cannot be served: a filter must never be skipped.
	broken string
}

// actions reads a list of filters.
func (r *route) actions(filters []gatewayv1.HTTPRouteFilter, field string) actions {
	var a actions
	for i := range filters {
		at := item(field, i)
		switch f := &filters[i]; f.Type {
		case gatewayv1.HTTPRouteFilterRequestHeaderModifier:
			a.editor().Request = headerEdit(f.RequestHeaderModifier)
		case gatewayv1.HTTPRouteFilterResponseHeaderModifier:
			a.editor().Response = headerEdit(f.ResponseHeaderModifier)
		case gatewayv1.HTTPRouteFilterRequestRedirect:
			a.redirect = f.RequestRedirect
		case gatewayv1.HTTPRouteFilterURLRewrite:
			a.rewrite = f.URLRewrite
		case gatewayv1.HTTPRouteFilterCORS:
			a.cors = cors(f.CORS)
		case gatewayv1.HTTPRouteFilterRequestMirror:
			r.mirror(&a, f.RequestMirror, at+".requestMirror")
		case gatewayv1.HTTPRouteFilterExtensionRef:
			a.broken = fmt.Sprintf("there is no filter of kind %s", f.ExtensionRef.Kind)
			r.lose(no(gatewayv1.RouteReasonInvalidKind, a.broken), reason.FilterInvalid, at+".extensionRef")
		default:
			a.broken = fmt.Sprintf("filter %s is not honoured", f.Type)
			r.lose(no(gatewayv1.RouteReasonInvalidKind, a.broken), reason.GuardClosed, at)
		}
	}
	if a.redirect != nil && a.rewrite != nil {
		r.accepted = no(gatewayv1.RouteReasonIncompatibleFilters, "a rule cannot both redirect and rewrite")
		r.report(reason.FilterInvalid, r.object.At(field), "%s", r.accepted.message)
	}
	return a
}

// lose records a reference that does not resolve.
func (r *route) lose(v verdict, code reason.Code, field string) {
	if !r.resolved.no {
		r.resolved = v
	}
	r.report(code, r.object.At(field), "%s", v.message)
}

func (a *actions) editor() *model.Edit {
	if a.edit == nil {
		a.edit = &model.Edit{}
	}
	return a.edit
}

func headerEdit(f *gatewayv1.HTTPHeaderFilter) *model.HeaderEdit {
	e := &model.HeaderEdit{Remove: f.Remove}
	for _, h := range f.Set {
		e.Set = append(e.Set, model.Header{Name: string(h.Name), Value: h.Value})
	}
	for _, h := range f.Add {
		e.Add = append(e.Add, model.Header{Name: string(h.Name), Value: h.Value})
	}
	return e
}

func cors(f *gatewayv1.HTTPCORSFilter) *model.CORS {
	return &model.CORS{
		AllowOrigins: texts(f.AllowOrigins), AllowMethods: strings.Join(texts(f.AllowMethods), ", "),
		AllowHeaders: strings.Join(texts(f.AllowHeaders), ", "), ExposeHeaders: strings.Join(texts(f.ExposeHeaders), ", "),
		Credentials: deref(f.AllowCredentials, false), MaxAge: int(f.MaxAge), Fetch: true,
	}
}

func texts[T ~string](all []T) []string {
	out := make([]string, len(all))
	for i, one := range all {
		out[i] = string(one)
	}
	return out
}

// mirror adds the destination of a mirror. A destination that does not resolve is left
// out: the original request is served all the same.
func (r *route) mirror(a *actions, f *gatewayv1.HTTPRequestMirrorFilter, field string) {
	ref, problem := r.service(f.BackendRef)
	if problem != nil {
		r.lose(problem.verdict, problem.code, field+".backendRef")
		return
	}
	m := &model.Mirror{Service: ref.ID(), Share: 1, Of: 1}
	switch {
	case f.Percent != nil:
		m.Share, m.Of = uint32(*f.Percent), 100
	case f.Fraction != nil:
		m.Share, m.Of = uint32(f.Fraction.Numerator), uint32(deref(f.Fraction.Denominator, 100))
	}
	a.mirrors = append(a.mirrors, m)
	r.refs = append(r.refs, *ref)
}

// filters returns the filters of the actions for a path, in the order in which requests
// pass them.
func (a *actions) filters(path model.PathMatch) (out model.Filters) {
	if a.cors != nil {
		out = append(out, a.cors)
	}
	if a.edit != nil {
		out = append(out, a.edit)
	}
	if w := a.rewriteFor(path); w != nil {
		out = append(out, w)
	}
	for _, m := range a.mirrors {
		out = append(out, m)
	}
	return out
}

func (a *actions) rewriteFor(path model.PathMatch) *model.Rewrite {
	if a.rewrite == nil {
		return nil
	}
	out := &model.Rewrite{Host: string(deref(a.rewrite.Hostname, "")), Path: pathEdit(a.rewrite.Path, path)}
	if out.Host == "" && out.Path == nil {
		return nil
	}
	return out
}

func (a *actions) redirectFor(path model.PathMatch) *model.Redirect {
	f := a.redirect
	return &model.Redirect{
		Status: deref(f.StatusCode, 302), Scheme: deref(f.Scheme, ""), Host: string(deref(f.Hostname, "")),
		Port: uint16(deref(f.Port, 0)), Path: pathEdit(f.Path, path),
	}
}

// pathEdit reads a path modifier, for one path of the rule.
func pathEdit(f *gatewayv1.HTTPPathModifier, path model.PathMatch) *model.PathEdit {
	switch {
	case f == nil:
		return nil
	case f.Type == gatewayv1.PrefixMatchHTTPPathModifier:
		return &model.PathEdit{Prefix: path.Value, With: deref(f.ReplacePrefixMatch, "")}
	}
	return &model.PathEdit{With: deref(f.ReplaceFullPath, "/")}
}
