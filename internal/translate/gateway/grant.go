package gateway

import (
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"windrose.dev/windrose/internal/source"
)

// grants holds the references over namespaces that the ReferenceGrants in the target
// namespaces permit.
type grants map[grantKey][]string // the permitted names; "" is any

type grantKey struct {
	fromGroup, fromKind, fromNamespace string
	toGroup, toKind, toNamespace       string
}

func newGrants(set *source.Set) grants {
	out := grants{}
	for object := range set.ReferenceGrants.All() {
		for _, from := range object.Value.Spec.From {
			for _, to := range object.Value.Spec.To {
				key := grantKey{
					string(from.Group), string(from.Kind), string(from.Namespace),
					string(to.Group), string(to.Kind), object.Origin.Namespace,
				}
				name := ""
				if to.Name != nil {
					name = string(*to.Name)
				}
				out[key] = append(out[key], name)
			}
		}
	}
	return out
}

// reference names an object that another object refers to.
type reference struct{ group, kind, namespace, name string }

// permit reports whether an object of the Gateway API may refer to another object.
func (g grants) permit(fromKind, fromNamespace string, to reference) bool {
	if fromNamespace == to.namespace {
		return true
	}
	for _, name := range g[grantKey{gatewayv1.GroupName, fromKind, fromNamespace, to.group, to.kind, to.namespace}] {
		if name == "" || name == to.name {
			return true
		}
	}
	return false
}

// deref returns what p points to, or otherwise if p is nil.
func deref[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}
