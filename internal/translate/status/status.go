package status

import (
	"cmp"
	"slices"
)

// Object is what a controller would write into the status of one object.
type Object struct {
	Ref Ref `json:"object"`
	// Generation is that of the spec that was judged, which is the observedGeneration of
	// all conditions; 0 where the object has none.
	Generation int64       `json:"generation,omitempty"`
	Conditions []Condition `json:"conditions,omitempty"`
	// Parents are the entries of a route's status.parents, and Ancestors those of a
	// policy's status.ancestors: our own alone, those of other controllers stay.
	Parents   []Parent `json:"parents,omitempty"`
	Ancestors []Parent `json:"ancestors,omitempty"`
	// Listeners are in the order in which the object has them.
	Listeners []Listener `json:"listeners,omitempty"`
	// Addresses are where clients reach what the object asks for: the addresses of a
	// Gateway, the load balancer's of an Ingress.
	Addresses []Address `json:"addresses,omitempty"`
	// AttachedListenerSets counts those with a listener that is accepted; nil where none
	// names the object.
	AttachedListenerSets *int32 `json:"attachedListenerSets,omitempty"`
	// Features are the names of those that a class supports, sorted.
	Features []string `json:"features,omitempty"`
}

// Ref names an object.
type Ref struct {
	Group string `json:"group,omitempty"` // empty is the core group
	Kind  string `json:"kind"`
	// Namespace is empty for kinds of the cluster, and in a reference that leaves it to
	// the object that it stands in.
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

// Truth is the status of a Condition.
type Truth string

// The values of a Truth, as Kubernetes spells them.
const (
	True    Truth = "True"
	False   Truth = "False"
	Unknown Truth = "Unknown"
)

// Condition is one condition. It has no time: whoever writes it knows whether it changed.
type Condition struct {
	Type    string `json:"type"`
	Status  Truth  `json:"status"`
	Reason  string `json:"reason"`
	Message string `json:"message,omitempty"`
}

// Parent is what has become of an object at one of those that it is attached to.
type Parent struct {
	Ref ParentRef `json:"ref"`
	// Controller is the name under which the entry is ours.
	Controller string      `json:"controller"`
	Conditions []Condition `json:"conditions,omitempty"`
}

// ParentRef is a reference to a parent, as the object has it, with kind and group filled
// in.
type ParentRef struct {
	Ref
	Section string `json:"section,omitempty"` // empty is the parent as a whole
	Port    int32  `json:"port,omitempty"`    // 0 is all ports
}

// Listener is what has become of one listener of an object.
type Listener struct {
	Name           string      `json:"name"`
	AttachedRoutes int32       `json:"attachedRoutes"`
	Kinds          []GroupKind `json:"kinds"` // of the routes that it takes
	Conditions     []Condition `json:"conditions,omitempty"`
}

// GroupKind names a kind.
type GroupKind struct {
	Group string `json:"group,omitempty"`
	Kind  string `json:"kind"`
}

// The types of an Address. Dialects may have others, named by a domain and a path.
const (
	IPAddress = "IPAddress"
	Hostname  = "Hostname"
)

// Address is one that clients connect to.
type Address struct {
	Type  string `json:"type"`
	Value string `json:"value"`
}

// kinds are in the order in which a List has them: what opens ports, what is attached to
// it, what applies to those. Other kinds come after these, by name.
var kinds = []string{
	"GatewayClass", "Gateway", "ListenerSet", "Ingress",
	"HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute", "BackendTLSPolicy",
}

func rank(kind string) int {
	if i := slices.Index(kinds, kind); i >= 0 {
		return i
	}
	return len(kinds)
}

// Compare orders by kind, as a List has them, then by group, namespace and name.
func (r Ref) Compare(s Ref) int {
	return cmp.Or(
		cmp.Compare(rank(r.Kind), rank(s.Kind)), cmp.Compare(r.Kind, s.Kind), cmp.Compare(r.Group, s.Group),
		cmp.Compare(r.Namespace, s.Namespace), cmp.Compare(r.Name, s.Name),
	)
}

// List holds an Object for each object that has a status, sorted by Ref.
type List []Object

// Merge makes a List of those of several dialects, each in any order. What several say of
// one object is joined: entries of lists stand behind each other, and what an object has
// only once, a condition of a type among them, is what the first says.
func Merge(lists ...[]Object) List {
	all := slices.Concat(lists...)
	slices.SortStableFunc(all, func(a, b Object) int { return a.Ref.Compare(b.Ref) })
	out := make(List, 0, len(all))
	for _, o := range all {
		if last := len(out) - 1; last >= 0 && out[last].Ref == o.Ref {
			out[last] = join(out[last], o)
		} else {
			out = append(out, o)
		}
	}
	return out
}

// join makes one Object of two of one object. It shares no list that it adds to.
func join(a, b Object) Object {
	a.Generation = cmp.Or(a.Generation, b.Generation)
	a.AttachedListenerSets = cmp.Or(a.AttachedListenerSets, b.AttachedListenerSets)
	a.Conditions = union(a.Conditions, b.Conditions, func(c Condition) string { return c.Type })
	a.Listeners = union(a.Listeners, b.Listeners, func(l Listener) string { return l.Name })
	a.Addresses = union(a.Addresses, b.Addresses, func(a Address) Address { return a })
	a.Features = union(a.Features, b.Features, func(f string) string { return f })
	slices.Sort(a.Features)
	a.Parents, a.Ancestors = slices.Concat(a.Parents, b.Parents), slices.Concat(a.Ancestors, b.Ancestors)
	return a
}

// union is a, and what of b has a key that nothing in a has.
func union[T any, K comparable](a, b []T, key func(T) K) []T {
	out := slices.Clone(a)
	for _, one := range b {
		if !slices.ContainsFunc(a, func(has T) bool { return key(has) == key(one) }) {
			out = append(out, one)
		}
	}
	return out
}
