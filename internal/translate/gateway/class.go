package gateway

import (
	"slices"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
	"windrose.dev/windrose/internal/translate/status"
)

// Controller is our name as a controller of GatewayClasses.
const Controller gatewayv1.GatewayController = "windrose.dev/gateway-controller"

// features are the features of the API that are honoured, as the status of a class lists
// them (GEP-2162).
var features = []string{
	"BackendTLSPolicy", "BackendTLSPolicySANValidation", "GRPCRoute", "GRPCRouteNamedRouteRule",
	"Gateway", "GatewayAddressEmpty", "GatewayBackendClientCertificate", "GatewayFrontendClientCertificateValidation",
	"GatewayFrontendClientCertificateValidationInsecureFallback", "GatewayHTTPListenerIsolation", "GatewayHTTPSListenerDetectMisdirectedRequests", "GatewayPort8080", "GatewayStaticAddresses",
	"HTTPRoute", "HTTPRoute303RedirectStatusCode", "HTTPRoute307RedirectStatusCode", "HTTPRoute308RedirectStatusCode",
	"HTTPRouteBackendProtocolH2C", "HTTPRouteBackendProtocolWebSocket", "HTTPRouteBackendRequestHeaderModification", "HTTPRouteBackendTimeout", "HTTPRouteCORS",
	"HTTPRouteDestinationPortMatching", "HTTPRouteHostRewrite", "HTTPRouteMethodMatching", "HTTPRouteNamedRouteRule",
	"HTTPRouteParentRefPort", "HTTPRoutePathRedirect", "HTTPRoutePathRewrite", "HTTPRoutePortRedirect",
	"HTTPRouteQueryParamMatching", "HTTPRouteRequestMirror", "HTTPRouteRequestMultipleMirrors", "HTTPRouteRequestPercentageMirror",
	"HTTPRouteRequestTimeout", "HTTPRouteResponseHeaderModification", "HTTPRouteRetry", "HTTPRouteRetryBackendTimeout",
	"HTTPRouteRetryConnectionError", "HTTPRouteSchemeRedirect",
	"ListenerSet", "ReferenceGrant", "TCPRoute", "TLSRoute", "TLSRouteModeMixed", "TLSRouteModeTerminate", "UDPRoute",
}

// classes decides which GatewayClasses are served, and gives each one its status.
func (t *translation) classes() {
	for object := range t.set.GatewayClasses.All() {
		name := object.Name()
		switch {
		case t.opts.Class != "" && name.Name != t.opts.Class:
			continue
		case !t.opts.EveryClass && object.Value.Spec.ControllerName != Controller:
			continue
		}
		t.out.Status = append(t.out.Status, t.class(object))
	}
}

func (t *translation) class(object *source.Object[gatewayv1.GatewayClass]) status.Object {
	accepted := yes(gatewayv1.GatewayClassReasonAccepted)
	if ref := object.Value.Spec.ParametersRef; ref != nil {
		accepted = no(gatewayv1.GatewayClassReasonInvalidParameters, "parametersRef leads to a "+string(ref.Kind)+", of which nothing is read")
		t.report(reason.GatewayInvalid, object.At("spec.parametersRef"), "%s", accepted.message)
	}
	var c conditions
	set(&c, gatewayv1.GatewayClassConditionStatusAccepted, accepted)
	set(&c, gatewayv1.GatewayClassConditionStatusSupportedVersion, yes(gatewayv1.GatewayClassReasonSupportedVersion))
	t.served[object.Origin.Name] = !accepted.no
	return status.Object{
		Ref: refOf("GatewayClass", object.Name()), Generation: object.Value.Generation,
		Conditions: c, Features: slices.Sorted(slices.Values(features)),
	}
}
