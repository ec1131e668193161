package gateway

import (
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
)

// unread reports the resources of the Gateway API that nothing is made of.
func (t *translation) unread() {
	unreadKind(t, t.set.TLSRoutes, func(r *gatewayv1.TLSRoute) []gatewayv1.ParentReference { return r.Spec.ParentRefs })
	unreadKind(t, t.set.TCPRoutes, func(r *gatewayv1.TCPRoute) []gatewayv1.ParentReference { return r.Spec.ParentRefs })
	unreadKind(t, t.set.UDPRoutes, func(r *gatewayv1.UDPRoute) []gatewayv1.ParentReference { return r.Spec.ParentRefs })
}

// unreadKind reports the routes of a kind that would attach to something of
// ours.
func unreadKind[T any](t *translation, index source.Index[T], parents func(*T) []gatewayv1.ParentReference) {
	for object := range index.All() {
		for _, ref := range parents(object.Value) {
			if _, ours := t.listenersOf(ref, object.Origin.Namespace); ours {
				t.report(reason.NotHonoured, object.At("spec.parentRefs"), "routes of kind %s are not served yet", object.Origin.Kind)
				break
			}
		}
	}
}
