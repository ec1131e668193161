package gateway

import gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

// reasonRouteConflict is why a route is not accepted whose hostnames intersect
// with those of a route of the other kind. The API names no reason of its own.
const reasonRouteConflict gatewayv1.RouteConditionReason = "HostnameConflict"

// rivals are the kinds of which one listener has only one for a host
// (GRPCRouteSpec.hostnames).
var rivals = map[gatewayv1.Kind]gatewayv1.Kind{"HTTPRoute": "GRPCRoute", "GRPCRoute": "HTTPRoute"}

// hostClaims are the hosts that routes of one kind have at a listener.
type hostClaims struct {
	hosts map[string]bool
	// wider are all hosts that cover one of them.
	wider map[string]bool
}

// rival reports whether an attached route of the other kind has a host in common
// with these.
func (l *listener) rival(kind gatewayv1.Kind, hosts []string) bool {
	other, any := l.claims[rivals[kind]]
	if !any {
		return false
	}
	for _, host := range hosts {
		if other.hosts[host] || other.wider[host] {
			return true
		}
		for _, wider := range widerHosts(host) {
			if other.hosts[wider] {
				return true
			}
		}
	}
	return false
}

// claim notes the hosts of a route that is attached.
func (l *listener) claim(kind gatewayv1.Kind, hosts []string) {
	if rivals[kind] == "" {
		return
	}
	own, any := l.claims[kind]
	if !any {
		own = hostClaims{map[string]bool{}, map[string]bool{}}
		if l.claims == nil {
			l.claims = map[gatewayv1.Kind]hostClaims{}
		}
		l.claims[kind] = own
	}
	for _, host := range hosts {
		own.hosts[host] = true
		for _, wider := range widerHosts(host) {
			own.wider[wider] = true
		}
	}
}
