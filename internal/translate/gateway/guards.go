package gateway

import "slices"

// guards are the kinds that guard whatever they say. Without a BackendTLSPolicy
// requests would go in plain text; without a route a less specific one would take
// its requests past its filters, or its connections to a backend of others.
var guards = []string{"BackendTLSPolicy", "HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute"}

// Guards reports whether a resource of a kind guards something.
func Guards(kind string, _ map[string]string) bool { return slices.Contains(guards, kind) }
