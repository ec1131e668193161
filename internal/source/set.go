package source

import (
	"cmp"
	"iter"
	"reflect"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"windrose.dev/windrose/internal/reason"
)

//lint:file-ignore SA1019 Endpoints is deprecated, and clusters still have it.

// Name identifies an object among those of its kind. Namespace is empty for
// cluster-scoped kinds.
type Name struct{ Namespace, Name string }

func (n Name) String() string {
	if n.Namespace == "" {
		return n.Name
	}
	return n.Namespace + "/" + n.Name
}

// MarshalText writes namespace/name.
func (n Name) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// Compare orders by namespace, then name.
func (n Name) Compare(m Name) int {
	return cmp.Or(cmp.Compare(n.Namespace, m.Namespace), cmp.Compare(n.Name, m.Name))
}

// State says how far an Object can be relied on.
type State uint8

const (
	// Current: the object is what the file says now.
	Current State = iota
	// Stale: the file's text is broken; this is the last good version, with the
	// lines that it had.
	Stale
	// Tombstone: the object is broken, was never good, and guards something.
	// Its Value holds what could still be read: bad fields are left out, list
	// items keep their places. Nothing may be opened on its account; what it
	// names is to be closed. If its name could not be read, or is that of another
	// copy which does not guard, Origin has one made of its place, file:line. Of
	// a text that does not parse, Value holds the hosts that are named in it.
	Tombstone
)

// Object is one resource as it was read.
type Object[T any] struct {
	// Value is shared: it must not be modified.
	Value  *T
	Origin reason.Origin
	Lines  Lines
	State  State
	// Incomplete: a part of the spec could not be read, or is not written, and
	// is not in Value.
	Incomplete bool
}

// At is the origin of one field of the object, such as
// spec.rules[0].http.paths[1]. A field that was not written gets the line of
// its nearest written parent.
func (o *Object[T]) At(field string) reason.Origin {
	return o.Origin.At(field, o.Lines.Of(field))
}

// Name is the object's namespace and name.
func (o *Object[T]) Name() Name { return Name{o.Origin.Namespace, o.Origin.Name} }

// Index holds the objects of one kind, sorted by namespace and name.
type Index[T any] struct {
	sorted []*Object[T]
	byName map[Name]*Object[T]
}

// NewIndex sorts and indexes objects. Of two with one name the first counts.
func NewIndex[T any](objects []*Object[T]) Index[T] {
	sorted := slices.Clone(objects)
	slices.SortStableFunc(sorted, func(a, b *Object[T]) int { return a.Name().Compare(b.Name()) })
	sorted = slices.CompactFunc(sorted, func(a, b *Object[T]) bool { return a.Name() == b.Name() })
	byName := make(map[Name]*Object[T], len(sorted))
	for _, object := range sorted {
		byName[object.Name()] = object
	}
	return Index[T]{sorted, byName}
}

// Get returns the object of that name, or nil.
func (x Index[T]) Get(namespace, name string) *Object[T] { return x.byName[Name{namespace, name}] }

// Len is the number of objects.
func (x Index[T]) Len() int { return len(x.sorted) }

// All yields the objects by namespace and name.
func (x Index[T]) All() iter.Seq[*Object[T]] { return slices.Values(x.sorted) }

// With returns an Index that also holds objects; they replace those of the
// same name. The receiver stays as it is.
func (x Index[T]) With(objects ...*Object[T]) Index[T] {
	return NewIndex(append(slices.Clone(objects), x.sorted...))
}

// equal reports whether two Indexes hold the same objects, written at the same places.
func (x Index[T]) equal(other Index[T]) bool {
	return slices.EqualFunc(x.sorted, other.sorted, func(a, b *Object[T]) bool {
		known := a.Value == b.Value && a.Origin == b.Origin && a.State == b.State && a.Incomplete == b.Incomplete
		return a == b || known || reflect.DeepEqual(a, b)
	})
}

// Changed returns the objects of x and of other that are not in both as they are. It
// goes by what is shared: an object that was read anew counts as changed.
func (x Index[T]) Changed(other Index[T]) (changed []*Object[T]) {
	a, b := x.sorted, other.sorted
	for len(a) > 0 && len(b) > 0 {
		switch order := a[0].Name().Compare(b[0].Name()); {
		case order < 0:
			changed, a = append(changed, a[0]), a[1:]
		case order > 0:
			changed, b = append(changed, b[0]), b[1:]
		default:
			if a[0].Value != b[0].Value {
				changed = append(changed, a[0], b[0])
			}
			a, b = a[1:], b[1:]
		}
	}
	return append(append(changed, a...), b...)
}

// SameConfig reports whether s and other differ at most in what runs (EndpointSlices,
// Endpoints, Pods and workloads), in Secrets, and in Reports. It is fast for Sets of
// one Loader, which share the objects of texts that did not change.
func (s *Set) SameConfig(other *Set) bool {
	return !slices.ContainsFunc(kinds(), func(k *Kind) bool { return k.same != nil && !k.same(s, other) })
}

// Set is all resources known at one moment. It is read-only. Its objects have
// the defaults of an API server where those matter here; conditions.ready of an
// endpoint may still be nil, which means ready.
type Set struct {
	Namespaces     Index[corev1.Namespace]
	Services       Index[corev1.Service]
	EndpointSlices Index[discoveryv1.EndpointSlice]
	Endpoints      Index[corev1.Endpoints]
	Secrets        Index[corev1.Secret]
	ConfigMaps     Index[corev1.ConfigMap]
	Pods           Index[corev1.Pod]
	Deployments    Index[appsv1.Deployment]
	StatefulSets   Index[appsv1.StatefulSet]
	Ingresses      Index[networkingv1.Ingress]
	IngressClasses Index[networkingv1.IngressClass]

	GatewayClasses     Index[gatewayv1.GatewayClass]
	Gateways           Index[gatewayv1.Gateway]
	ListenerSets       Index[gatewayv1.ListenerSet]
	ReferenceGrants    Index[gatewayv1.ReferenceGrant]
	HTTPRoutes         Index[gatewayv1.HTTPRoute]
	GRPCRoutes         Index[gatewayv1.GRPCRoute]
	TLSRoutes          Index[gatewayv1.TLSRoute]
	TCPRoutes          Index[gatewayv1.TCPRoute]
	UDPRoutes          Index[gatewayv1.UDPRoute]
	BackendTLSPolicies Index[gatewayv1.BackendTLSPolicy]

	// Reports says what reading found, sorted.
	Reports []reason.Report
}
