// Package gateway translates the Gateway API: GatewayClass, Gateway, ListenerSet,
// ReferenceGrant, HTTPRoute, GRPCRoute, TLSRoute, TCPRoute and UDPRoute, at v1.6.3.
//
// [Translate] is a pure function. Its Fragment says what to serve, and also holds the
// status that a controller would write: every condition of every object, as values, which
// [Typed] converts to the API's types. Where the API is silent, the package does what the
// conformance suite expects.
package gateway
