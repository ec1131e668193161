package gateway

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"windrose.dev/windrose/internal/source"
	"windrose.dev/windrose/internal/translate/status"
)

// Status is the status that a controller would write into the objects of the Gateway API,
// in the API's types. The times of its conditions are zero: only the writer knows whether
// they changed.
type Status struct {
	GatewayClasses map[source.Name]gatewayv1.GatewayClassStatus
	Gateways       map[source.Name]gatewayv1.GatewayStatus
	ListenerSets   map[source.Name]gatewayv1.ListenerSetStatus
	// Parents are our own entries of status.parents, for routes of all kinds, and
	// Ancestors our own entries of status.ancestors. Entries of other controllers must be
	// kept.
	Parents   map[status.Ref][]gatewayv1.RouteParentStatus
	Ancestors map[status.Ref][]gatewayv1.PolicyAncestorStatus
}

// Typed converts a List to the types of the Gateway API. Objects of other groups are
// included only if they have parents or ancestors.
func Typed(all status.List) Status {
	out := Status{
		GatewayClasses: map[source.Name]gatewayv1.GatewayClassStatus{},
		Gateways:       map[source.Name]gatewayv1.GatewayStatus{},
		ListenerSets:   map[source.Name]gatewayv1.ListenerSetStatus{},
		Parents:        map[status.Ref][]gatewayv1.RouteParentStatus{},
		Ancestors:      map[status.Ref][]gatewayv1.PolicyAncestorStatus{},
	}
	for i := range all {
		o := typedObject{&all[i]}
		name := source.Name{Namespace: o.Ref.Namespace, Name: o.Ref.Name}
		switch (status.GroupKind{Group: o.Ref.Group, Kind: o.Ref.Kind}) {
		case status.GroupKind{Group: gatewayv1.GroupName, Kind: "GatewayClass"}:
			out.GatewayClasses[name] = o.class()
		case status.GroupKind{Group: gatewayv1.GroupName, Kind: "Gateway"}:
			out.Gateways[name] = o.gateway()
		case status.GroupKind{Group: gatewayv1.GroupName, Kind: "ListenerSet"}:
			out.ListenerSets[name] = o.listenerSet()
		}
		if len(o.Parents) > 0 {
			out.Parents[o.Ref] = o.parents()
		}
		if len(o.Ancestors) > 0 {
			out.Ancestors[o.Ref] = o.ancestors()
		}
	}
	return out
}

// typedObject converts the status of one object to the API's types.
type typedObject struct{ *status.Object }

func (o typedObject) conditions(all []status.Condition) []metav1.Condition {
	var out []metav1.Condition
	for _, c := range all {
		out = append(out, metav1.Condition{
			Type: c.Type, Status: metav1.ConditionStatus(c.Status), Reason: c.Reason, Message: c.Message, ObservedGeneration: o.Generation,
		})
	}
	return out
}

func (o typedObject) parents() (out []gatewayv1.RouteParentStatus) {
	for _, p := range o.Parents {
		out = append(out, gatewayv1.RouteParentStatus{
			ParentRef: typedParent(p.Ref), ControllerName: gatewayv1.GatewayController(p.Controller), Conditions: o.conditions(p.Conditions),
		})
	}
	return out
}

func (o typedObject) ancestors() (out []gatewayv1.PolicyAncestorStatus) {
	for _, a := range o.Ancestors {
		out = append(out, gatewayv1.PolicyAncestorStatus{
			AncestorRef: typedParent(a.Ref), ControllerName: gatewayv1.GatewayController(a.Controller), Conditions: o.conditions(a.Conditions),
		})
	}
	return out
}

func (o typedObject) class() gatewayv1.GatewayClassStatus {
	out := gatewayv1.GatewayClassStatus{Conditions: o.conditions(o.Conditions)}
	for _, name := range o.Features {
		out.SupportedFeatures = append(out.SupportedFeatures, gatewayv1.SupportedFeature{Name: gatewayv1.FeatureName(name)})
	}
	return out
}

func (o typedObject) gateway() gatewayv1.GatewayStatus {
	out := gatewayv1.GatewayStatus{Conditions: o.conditions(o.Conditions), AttachedListenerSets: o.AttachedListenerSets}
	for _, a := range o.Addresses {
		kind := gatewayv1.AddressType(a.Type)
		out.Addresses = append(out.Addresses, gatewayv1.GatewayStatusAddress{Type: &kind, Value: a.Value})
	}
	for _, l := range o.Listeners {
		out.Listeners = append(out.Listeners, o.listener(l))
	}
	return out
}

func (o typedObject) listenerSet() gatewayv1.ListenerSetStatus {
	out := gatewayv1.ListenerSetStatus{Conditions: o.conditions(o.Conditions)}
	for _, l := range o.Listeners {
		out.Listeners = append(out.Listeners, gatewayv1.ListenerEntryStatus(o.listener(l)))
	}
	return out
}

// listener returns a status with a list of kinds that is never nil: an empty list says
// that no kind is supported, and a missing one that the kinds have not been checked.
func (o typedObject) listener(l status.Listener) gatewayv1.ListenerStatus {
	kinds := make([]gatewayv1.RouteGroupKind, len(l.Kinds))
	for i, k := range l.Kinds {
		group := gatewayv1.Group(k.Group)
		kinds[i] = gatewayv1.RouteGroupKind{Group: &group, Kind: gatewayv1.Kind(k.Kind)}
	}
	return gatewayv1.ListenerStatus{
		Name: gatewayv1.SectionName(l.Name), SupportedKinds: kinds, AttachedRoutes: l.AttachedRoutes, Conditions: o.conditions(l.Conditions),
	}
}

// typedParent leaves out the fields that the reference does not set.
func typedParent(ref status.ParentRef) gatewayv1.ParentReference {
	group, kind := gatewayv1.Group(ref.Group), gatewayv1.Kind(ref.Kind)
	return gatewayv1.ParentReference{
		Group: &group, Kind: &kind, Name: gatewayv1.ObjectName(ref.Name), Namespace: unlessZero(gatewayv1.Namespace(ref.Namespace)),
		SectionName: unlessZero(gatewayv1.SectionName(ref.Section)), Port: unlessZero(gatewayv1.PortNumber(ref.Port)),
	}
}

// unlessZero returns a pointer to v, or nil if v is zero.
func unlessZero[T comparable](v T) *T {
	if v == *new(T) {
		return nil
	}
	return &v
}
