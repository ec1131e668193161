package gateway

import (
	"fmt"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/translate/backend"
)

// speak decides the protocol and TLS with which the requests of a route reach a port of a
// Service: by its appProtocol, its BackendTLSPolicy, and the kind of the route. A Service
// that asks for TLS never gets plain text.
func (r *route) speak(ref *backend.Ref) *lost {
	asked := ref.Asked()
	unsupported := func(code reason.Code, format string, args ...any) *lost {
		return &lost{no(gatewayv1.RouteReasonUnsupportedProtocol, fmt.Sprintf(format, args...)), code}
	}
	policy := r.policyFor(ref, r.gateways)
	switch {
	case policy != nil && policy.tls == nil:
		return unsupported(reason.GuardClosed, "%s guards this backend and is not in force: %s", policy.object.Origin.Object(), policy.why())
	case policy == nil && asked.TLS:
		return unsupported(reason.ServiceTypeNotServed, "the backend speaks %s, and no BackendTLSPolicy says whom to trust", ref.AppProtocol)
	case policy != nil:
		ref.TLS, ref.TLSFrom = policy.tls, "policy:"+policy.object.Origin.Name
	}
	switch {
	case r.kind == "GRPCRoute" && !asked.Open && asked.Protocol != model.HTTP2:
		return unsupported(reason.ServiceTypeNotServed, "gRPC cannot be spoken to a backend of protocol %s", ref.AppProtocol)
	case r.kind == "GRPCRoute":
		ref.Protocol = model.HTTP2
	case !asked.Open:
		ref.Protocol = asked.Protocol
	case policy != nil:
		ref.Protocol = model.Negotiated
	}
	return nil
}
