package status

import (
	"cmp"
	"slices"
)

// Object is the status that a controller would write into one object.
type Object struct {
	Ref Ref `json:"object"`
	// Generation is the generation of the spec that was checked, and the
	// observedGeneration of all conditions; 0 if the object has none.
	Generation int64       `json:"generation,omitempty"`
	Conditions []Condition `json:"conditions,omitempty"`
	// Parents are the entries of a route's status.parents, and Ancestors those of a
	// policy's status.ancestors. They are only our own entries; those of other
	// controllers must be kept.
	Parents   []Parent `json:"parents,omitempty"`
	Ancestors []Parent `json:"ancestors,omitempty"`
	// Listeners are in the order of the object.
	Listeners []Listener `json:"listeners,omitempty"`
	// Addresses are the addresses at which clients reach the object: those of a Gateway,
	// or of the load balancer of an Ingress.
	Addresses []Address `json:"addresses,omitempty"`
	// AttachedListenerSets counts the ListenerSets with an accepted listener; nil if none
	// names the object.
	AttachedListenerSets *int32 `json:"attachedListenerSets,omitempty"`
	// Features are the supported features of a class, sorted.
	Features []string `json:"features,omitempty"`
}

// Ref names an object.
type Ref struct {
	Group string `json:"group,omitempty"` // empty is the core group
	Kind  string `json:"kind"`
	// Namespace is empty for cluster-scoped kinds, and in a reference to the namespace of
	// the object that contains it.
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

// Condition is one condition. It has no time: only the writer knows whether it changed.
type Condition struct {
	Type    string `json:"type"`
	Status  Truth  `json:"status"`
	Reason  string `json:"reason"`
	Message string `json:"message,omitempty"`
}

// Parent is the status of an object at one of its parents.
type Parent struct {
	Ref ParentRef `json:"ref"`
	// Controller is the name of the controller that owns the entry.
	Controller string      `json:"controller"`
	Conditions []Condition `json:"conditions,omitempty"`
}

// ParentRef is a reference to a parent, as the object has it, with group and kind filled
// in.
type ParentRef struct {
	Ref
	Section string `json:"section,omitempty"` // empty means the whole parent
	Port    int32  `json:"port,omitempty"`    // 0 means all ports
}

// Listener is the status of one listener of an object.
type Listener struct {
	Name           string      `json:"name"`
	AttachedRoutes int32       `json:"attachedRoutes"`
	Kinds          []GroupKind `json:"kinds"` // of the routes that it accepts
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

// Address is an address that clients connect to.
type Address struct {
	Type  string `json:"type"`
	Value string `json:"value"`
}

// kinds are in the order of a List: kinds that open ports, kinds that attach to them, and
// kinds that apply to those. Other kinds follow, by name.
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

// Compare orders by kind, in the order of a List, then by group, namespace and name.
func (r Ref) Compare(s Ref) int {
	return cmp.Or(
		cmp.Compare(rank(r.Kind), rank(s.Kind)), cmp.Compare(r.Kind, s.Kind), cmp.Compare(r.Group, s.Group),
		cmp.Compare(r.Namespace, s.Namespace), cmp.Compare(r.Name, s.Name),
	)
}

// List holds an Object for each object that has a status, sorted by Ref.
type List []Object

// Merge makes one List from those of several dialects, each in any order. It joins what
// several of them say about one object: lists are concatenated, and of single values,
// including the conditions of one type, the first is kept.
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

// join makes one Object from two of the same object. It does not change their lists.
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

// union returns a and those values of b whose key nothing in a has.
func union[T any, K comparable](a, b []T, key func(T) K) []T {
	out := slices.Clone(a)
	for _, one := range b {
		if !slices.ContainsFunc(a, func(has T) bool { return key(has) == key(one) }) {
			out = append(out, one)
		}
	}
	return out
}
