package conformance

import (
	"fmt"
	"reflect"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/runtime"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
)

// reader makes Sets of the objects in a Store. It decodes each version of an object once.
// It is used by one goroutine.
type reader struct {
	store *Store
	seen  map[key]decoded
}

// decoded is a *source.Object of some type, decoded from one content of an entry.
type decoded struct {
	content int64
	object  any
}

// set returns all objects of the Store, except the Pods, which are made from the
// Deployments.
func (r *reader) set() *source.Set {
	return &source.Set{
		Namespaces:     index[corev1.Namespace](r, ""),
		Services:       index[corev1.Service](r, ""),
		Secrets:        index[corev1.Secret](r, ""),
		ConfigMaps:     index[corev1.ConfigMap](r, ""),
		Deployments:    index[appsv1.Deployment](r, "apps"),
		EndpointSlices: index[discoveryv1.EndpointSlice](r, "discovery.k8s.io"),

		GatewayClasses:     index[gatewayv1.GatewayClass](r, gatewayGroup),
		Gateways:           index[gatewayv1.Gateway](r, gatewayGroup),
		ListenerSets:       index[gatewayv1.ListenerSet](r, gatewayGroup),
		ReferenceGrants:    index[gatewayv1.ReferenceGrant](r, gatewayGroup),
		HTTPRoutes:         index[gatewayv1.HTTPRoute](r, gatewayGroup),
		GRPCRoutes:         index[gatewayv1.GRPCRoute](r, gatewayGroup),
		TLSRoutes:          index[gatewayv1.TLSRoute](r, gatewayGroup),
		TCPRoutes:          index[gatewayv1.TCPRoute](r, gatewayGroup),
		UDPRoutes:          index[gatewayv1.UDPRoute](r, gatewayGroup),
		BackendTLSPolicies: index[gatewayv1.BackendTLSPolicy](r, gatewayGroup),
	}
}

func index[T any](r *reader, group string) source.Index[T] {
	var objects []*source.Object[T]
	kind := reflect.TypeFor[T]().Name()
	r.store.each(group, kind, func(k key, e entry) {
		known, ok := r.seen[k]
		if !ok || known.content != e.content {
			known = decoded{e.content, decode[T](k, e.object)}
			r.seen[k] = known
		}
		objects = append(objects, known.object.(*source.Object[T]))
	})
	return source.NewIndex(objects)
}

// decode makes an object of a Set. It panics on an object that the admission should have
// refused.
func decode[T any](k key, o object) *source.Object[T] {
	out := &source.Object[T]{Value: new(T), Origin: reason.Origin{Kind: k.kind, Namespace: k.namespace, Name: k.name}}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o, out.Value); err != nil {
		panic(fmt.Sprintf("%s %s/%s: %v", k.kind, k.namespace, k.name, err))
	}
	return out
}
