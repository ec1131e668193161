package gateway

import gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

// reasonRouteConflict is the reason why a route is not accepted if its hostnames
// intersect with those of a route of the other kind. The API defines no reason for this.
const reasonRouteConflict gatewayv1.RouteConditionReason = "HostnameConflict"

// rivals are the pairs of kinds that cannot both have routes for one host of a listener
// (GRPCRouteSpec.hostnames).
var rivals = map[gatewayv1.Kind]gatewayv1.Kind{"HTTPRoute": "GRPCRoute", "GRPCRoute": "HTTPRoute"}

// hostClaims are the hosts that routes of one kind have at a listener.
type hostClaims struct {
	hosts map[string]bool
	// wider are all hosts that cover one of hosts.
	wider map[string]bool
}

// rival reports whether an attached route of the other kind has a host in common with
// hosts.
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

// claim records the hosts of an attached route.
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
