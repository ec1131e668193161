package gateway

import (
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// findOverlaps finds the HTTPS listeners of each Gateway whose hostnames overlap on one
// port: a client may reuse a connection to one of them for a request to the other
// (condition OverlappingTLSConfig).
func (t *translation) findOverlaps() {
	for _, g := range t.order {
		byHost := map[claim]*listener{}
		g.each(func(l *listener) {
			if l.spec.Protocol == gatewayv1.HTTPSProtocolType && !l.accepted.no && !l.refused() {
				byHost[claim{id: l.id(), host: l.host()}] = l
			}
		})
		for own, l := range byHost {
			for _, wider := range widerHosts(own.host) {
				if other := byHost[claim{id: own.id, host: wider}]; other != nil {
					l.overlaps, other.overlaps = true, true
				}
			}
		}
	}
}

// widerHosts returns the hosts that cover host, except host itself.
func widerHosts(host string) []string {
	if host == anyHost {
		return nil
	}
	out := []string{anyHost}
	rest := strings.TrimPrefix(host, "*.")
	for {
		_, parent, found := strings.Cut(rest, ".")
		if !found {
			return out
		}
		out = append(out, "*."+parent)
		rest = parent
	}
}
