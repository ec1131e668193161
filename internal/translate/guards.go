package translate

import "windrose.dev/windrose/internal/translate/ingress"

// Guards tells whether a resource of a kind, with these annotations, guards
// something, so that it must not be passed over when it is broken (see
// source.Config). A BackendTLSPolicy does whatever it says: without it, requests
// would go in plain text. So does an HTTPRoute or GRPCRoute, whose filters may:
// without it, a less specific route would take its requests past them.
func Guards(kind string, annotations map[string]string) bool {
	return kind == "BackendTLSPolicy" || kind == "HTTPRoute" || kind == "GRPCRoute" || ingress.Guards(kind, annotations)
}
