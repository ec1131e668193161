// Package gateway translates the Gateway API: GatewayClass, Gateway,
// ListenerSet, ReferenceGrant, HTTPRoute, GRPCRoute, TLSRoute, TCPRoute and
// UDPRoute, at v1.6.3.
//
// [Translate] is a pure function. Beside what is to be served its Fragment has the
// status that a controller would write: every condition of every object, as values,
// which [Typed] has in the API's types. What the API says nothing about goes as the
// conformance suite has it.
package gateway
