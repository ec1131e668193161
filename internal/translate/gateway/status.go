package gateway

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"windrose.dev/windrose/internal/source"
)

// Status is what a controller would write into the objects of a Set. The times
// of its conditions are zero: who writes it knows whether they changed.
type Status struct {
	GatewayClasses map[source.Name]gatewayv1.GatewayClassStatus
	Gateways       map[source.Name]gatewayv1.GatewayStatus
	ListenerSets   map[source.Name]gatewayv1.ListenerSetStatus
	// The routes' maps hold our own entries of status.parents alone: those of
	// other controllers stay as they are.
	HTTPRoutes, GRPCRoutes, TLSRoutes, TCPRoutes, UDPRoutes map[source.Name][]gatewayv1.RouteParentStatus
	// BackendTLSPolicies holds our own entries of status.ancestors, too.
	BackendTLSPolicies map[source.Name][]gatewayv1.PolicyAncestorStatus
}

// of is where the status of routes of a kind is kept.
func (s *Status) of(kind gatewayv1.Kind) map[source.Name][]gatewayv1.RouteParentStatus {
	return map[gatewayv1.Kind]map[source.Name][]gatewayv1.RouteParentStatus{
		"HTTPRoute": s.HTTPRoutes, "GRPCRoute": s.GRPCRoutes,
		"TLSRoute": s.TLSRoutes, "TCPRoute": s.TCPRoutes, "UDPRoute": s.UDPRoutes,
	}[kind]
}

func newStatus() Status {
	return Status{
		GatewayClasses: map[source.Name]gatewayv1.GatewayClassStatus{},
		Gateways:       map[source.Name]gatewayv1.GatewayStatus{},
		ListenerSets:   map[source.Name]gatewayv1.ListenerSetStatus{},
		HTTPRoutes:     map[source.Name][]gatewayv1.RouteParentStatus{},
		GRPCRoutes:     map[source.Name][]gatewayv1.RouteParentStatus{},

		BackendTLSPolicies: map[source.Name][]gatewayv1.PolicyAncestorStatus{},
		TLSRoutes:          map[source.Name][]gatewayv1.RouteParentStatus{},
		TCPRoutes:          map[source.Name][]gatewayv1.RouteParentStatus{},
		UDPRoutes:          map[source.Name][]gatewayv1.RouteParentStatus{},
	}
}

// verdict is the value of one condition: true with a reason, or false with one
// and a message.
type verdict struct {
	no      bool
	reason  string
	message string
}

func yes[R ~string](reason R) verdict { return verdict{reason: string(reason)} }

func no[R ~string](reason R, message string) verdict {
	return verdict{no: true, reason: string(reason), message: message}
}

// conditions gathers the conditions of one object.
type conditions struct {
	generation int64
	list       []metav1.Condition
}

func set[C ~string](c *conditions, condition C, v verdict) {
	status := metav1.ConditionTrue
	if v.no {
		status = metav1.ConditionFalse
	}
	c.list = append(c.list, metav1.Condition{
		Type: string(condition), Status: status, Reason: v.reason, Message: v.message, ObservedGeneration: c.generation,
	})
}

// groupKinds copies a list of kinds. It is never nil: an empty list says that
// no kind is supported, and none at all that nobody has looked.
func groupKinds(kinds []gatewayv1.RouteGroupKind) []gatewayv1.RouteGroupKind {
	return append(make([]gatewayv1.RouteGroupKind, 0, len(kinds)), slices.Clone(kinds)...)
}
