package source

import (
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

const (
	gatewayVersion = gatewayv1.GroupName + "/v1"
	gatewayBeta    = gatewayv1.GroupName + "/v1beta1"
	gatewayAlpha2  = gatewayv1.GroupName + "/v1alpha2"
	gatewayAlpha3  = gatewayv1.GroupName + "/v1alpha3"
)

// gatewayKinds are the rows of the Gateway API. Their checks and defaults are
// those of their CustomResourceDefinitions: see Resource.Admit.
func gatewayKinds() []*Kind {
	return []*Kind{
		row[gatewayv1.GatewayClass]{
			version: gatewayVersion, also: []string{gatewayBeta}, cluster: true,
			index: func(s *Set) *Index[gatewayv1.GatewayClass] { return &s.GatewayClasses },
		}.kind(),
		row[gatewayv1.Gateway]{
			version: gatewayVersion, also: []string{gatewayBeta},
			index: func(s *Set) *Index[gatewayv1.Gateway] { return &s.Gateways },
		}.kind(),
		row[gatewayv1.ListenerSet]{
			version: gatewayVersion,
			index:   func(s *Set) *Index[gatewayv1.ListenerSet] { return &s.ListenerSets },
		}.kind(),
		row[gatewayv1.ReferenceGrant]{
			version: gatewayVersion, also: []string{gatewayBeta},
			index: func(s *Set) *Index[gatewayv1.ReferenceGrant] { return &s.ReferenceGrants },
		}.kind(),
		row[gatewayv1.HTTPRoute]{
			version: gatewayVersion, also: []string{gatewayBeta},
			index: func(s *Set) *Index[gatewayv1.HTTPRoute] { return &s.HTTPRoutes },
		}.kind(),
		row[gatewayv1.GRPCRoute]{
			version: gatewayVersion,
			index:   func(s *Set) *Index[gatewayv1.GRPCRoute] { return &s.GRPCRoutes },
		}.kind(),
		row[gatewayv1.TLSRoute]{
			version: gatewayVersion, also: []string{gatewayAlpha2, gatewayAlpha3},
			index: func(s *Set) *Index[gatewayv1.TLSRoute] { return &s.TLSRoutes },
		}.kind(),
		row[gatewayv1.TCPRoute]{
			version: gatewayVersion, also: []string{gatewayAlpha2},
			index: func(s *Set) *Index[gatewayv1.TCPRoute] { return &s.TCPRoutes },
		}.kind(),
		row[gatewayv1.UDPRoute]{
			version: gatewayVersion, also: []string{gatewayAlpha2},
			index: func(s *Set) *Index[gatewayv1.UDPRoute] { return &s.UDPRoutes },
		}.kind(),
		row[gatewayv1.BackendTLSPolicy]{
			version: gatewayVersion, also: []string{gatewayAlpha3},
			index: func(s *Set) *Index[gatewayv1.BackendTLSPolicy] { return &s.BackendTLSPolicies },
		}.kind(),
	}
}
