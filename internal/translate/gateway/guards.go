package gateway

import "slices"

// guards are the kinds that always guard something. Without a BackendTLSPolicy, requests
// would go to the backend in plain text. Without a route, its requests would match a less
// specific route and miss its filters, and its connections would reach another backend.
var guards = []string{"BackendTLSPolicy", "HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute"}

// Guards reports whether a resource of a kind guards something.
func Guards(kind string, _ map[string]string) bool { return slices.Contains(guards, kind) }
