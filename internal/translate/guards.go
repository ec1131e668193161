package translate

import (
	"slices"

	"windrose.dev/windrose/internal/translate/ingress"
)

// guards are the kinds that guard whatever they say. Without a BackendTLSPolicy
// requests would go in plain text; without a route a less specific one would take
// its requests past its filters, or its connections to a backend of others.
var guards = []string{"BackendTLSPolicy", "HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute"}

// Guards tells whether a resource of a kind, with these annotations, guards
// something, so that it must not be passed over when it is broken (see
// source.Config).
func Guards(kind string, annotations map[string]string) bool {
	return slices.Contains(guards, kind) || ingress.Guards(kind, annotations)
}
