// Package gateway translates the Gateway API: GatewayClass, Gateway,
// ListenerSet, ReferenceGrant, HTTPRoute, GRPCRoute, TLSRoute, TCPRoute and
// UDPRoute, at v1.6.3.
//
// [Translate] is a pure function. Beside what is to be served it returns the
// [Status] that a controller would write: every condition of every object, as
// values. What the API says nothing about goes as the conformance suite has it.
package gateway
