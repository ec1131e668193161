package gateway

import (
	"fmt"
	"slices"
	"time"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
	"windrose.dev/windrose/internal/translate/backend"
)

// forward is a Forward whose backends may have rewrites, which depend on the path.
type forward struct {
	model.Forward
	does []actions // of the backends
}

// forPath returns the Forward for the rule of one path.
func (f *forward) forPath(path model.PathMatch) *model.Forward {
	out := f.Forward
	out.Backends = slices.Clone(out.Backends)
	for i := range out.Backends {
		out.Backends[i].Filters = f.does[i].filters(path)
	}
	return &out
}

// forward reads the backends of a rule, its timeouts and its retries. It returns nil if
// no backend has a weight.
func (r *route) forward(rule *gatewayv1.HTTPRouteRule, field string) *forward {
	f := &forward{}
	total := int64(0)
	for i := range rule.BackendRefs {
		ref := &rule.BackendRefs[i]
		b, does := r.backend(ref, item(field+".backendRefs", i))
		f.Backends, f.does = append(f.Backends, b), append(f.does, does)
		total += int64(b.Weight)
	}
	if total == 0 {
		return nil
	}
	r.timeouts(f, rule)
	f.Retry = retry(rule.Retry)
	f.Affinity = session(rule.SessionPersistence, r.object.Name(), rule)
	return f
}

// backend reads one backendRef. If it does not resolve, its share of the requests gets an
// error response (HTTPRouteRule.backendRefs).
func (r *route) backend(ref *gatewayv1.HTTPBackendRef, field string) (model.Backend, actions) {
	b := model.Backend{Weight: uint32(deref(ref.Weight, 1))}
	does := r.actions(ref.Filters, field+".filters")
	found, problem := r.service(ref.BackendObjectReference)
	switch {
	case problem != nil:
		r.lose(problem.verdict, problem.code, field)
		if b.Respond = r.failure(problem.message); problem.code == reason.GuardClosed {
			b.Respond.Status, b.Respond.Outcome = 503, reason.Closed
		}
		return b, actions{}
	case does.broken != "":
		b.Respond = r.failure(does.broken)
		return b, actions{}
	case does.redirect != nil || does.cors != nil:
		what := "a backend can neither redirect nor answer for other origins"
		r.lose(no(gatewayv1.RouteReasonInvalidKind, what), reason.FilterInvalid, field+".filters")
		b.Respond = r.failure(what)
		return b, actions{}
	}
	r.refs = append(r.refs, *found)
	b.Service = found.ID()
	return b, does
}

// lost says why a reference to a Service does not resolve.
type lost struct {
	verdict
	code reason.Code
}

// service resolves a reference to a Service.
func (r *route) service(ref gatewayv1.BackendObjectReference) (*backend.Ref, *lost) {
	found, problem := r.referred(string(r.kind), r.object.Origin.Namespace, ref, false)
	if problem != nil {
		return nil, problem
	}
	if problem := r.speak(found); problem != nil {
		return nil, problem
	}
	return found, nil
}

// referred resolves a reference to a Service, from an object of a kind and namespace, if
// it is permitted.
func (t *translation) referred(kind, home string, ref gatewayv1.BackendObjectReference, udp bool) (*backend.Ref, *lost) {
	namespace := string(deref(ref.Namespace, gatewayv1.Namespace(home)))
	switch group, of := deref(ref.Group, ""), deref(ref.Kind, "Service"); {
	case group != "" || of != "Service":
		return nil, &lost{no(gatewayv1.RouteReasonInvalidKind, fmt.Sprintf("a backend is a Service, not a %s", of)), reason.ResourceBackend}
	case !t.grants.permit(kind, home, reference{"", "Service", namespace, string(ref.Name)}):
		return nil, &lost{no(gatewayv1.RouteReasonRefNotPermitted, fmt.Sprintf("no ReferenceGrant in namespace %s lets it use Service %s", namespace, ref.Name)), reason.ReferenceNotPermitted}
	}
	found, problem := backend.Find(t.set, namespace, string(ref.Name), backend.Port{Number: deref(ref.Port, 0), UDP: udp})
	if problem != nil {
		return nil, &lost{no(gatewayv1.RouteReasonBackendNotFound, problem.Message), problem.Code}
	}
	if found.External != "" && !t.opts.ExternalNames { // see BackendObjectReference.kind
		what := fmt.Sprintf("Service %s/%s is an ExternalName, which routes of the Gateway API are not to forward to (CVE-2021-25740)", namespace, ref.Name)
		return nil, &lost{no(gatewayv1.RouteReasonInvalidKind, what), reason.ServiceTypeNotServed}
	}
	return found, nil
}

// timeouts reads the rule's timeouts. A timeout that is longer than the default read
// timeout extends that one, too.
func (r *route) timeouts(f *forward, rule *gatewayv1.HTTPRouteRule) {
	if rule.Timeouts == nil {
		return
	}
	f.Timeout, f.AttemptTimeout = duration(rule.Timeouts.Request), duration(rule.Timeouts.BackendRequest)
	if longest := max(f.Timeout, f.AttemptTimeout); longest > model.DefaultReadTimeout {
		f.ReadTimeout = longest
	}
}

// defaultAttempts is how often a request is repeated if a retry does not say.
const defaultAttempts = 2

func retry(spec *gatewayv1.HTTPRouteRetry) *model.Retry {
	if spec == nil {
		return nil
	}
	out := &model.Retry{Attempts: min(deref(spec.Attempts, defaultAttempts), model.MaxRetries), Backoff: duration(spec.Backoff)}
	for _, code := range spec.Codes {
		out.Codes = append(out.Codes, int(code))
	}
	slices.Sort(out.Codes)
	out.Codes = slices.Compact(out.Codes)
	return out
}

// session reads session persistence (GEP-1619).
func session(spec *gatewayv1.SessionPersistence, route source.Name, rule *gatewayv1.HTTPRouteRule) *model.Affinity {
	if spec == nil {
		return nil
	}
	out := &model.Affinity{
		Name:     deref(spec.SessionName, "windrose-"+route.Name+"-"+string(deref(rule.Name, "session"))),
		Header:   deref(spec.Type, gatewayv1.CookieBasedSessionPersistence) == gatewayv1.HeaderBasedSessionPersistence,
		Absolute: duration(spec.AbsoluteTimeout),
	}
	if c := spec.CookieConfig; c != nil && !out.Header {
		out.Permanent = deref(c.LifetimeType, gatewayv1.SessionCookieLifetimeType) == gatewayv1.PermanentCookieLifetimeType
	}
	return out
}

// duration reads a duration of GEP-2257, which the API server has validated.
func duration(d *gatewayv1.Duration) time.Duration {
	if d == nil {
		return 0
	}
	out, err := time.ParseDuration(string(*d))
	if err != nil {
		return 0
	}
	return out
}
