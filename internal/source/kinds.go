package source

import (
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"windrose.dev/windrose/internal/reason"
)

//lint:file-ignore SA1019 Endpoints is deprecated, and clusters still have it.

// kind is one row of the table of kinds: all that the rest of the package
// needs to know of a kind, without its Go type.
type kind struct {
	name string
	// version is the apiVersion in which objects are in a Set.
	version string
	// also are other apiVersions that an API server takes.
	also []string
	// cluster is set for kinds without a namespace.
	cluster bool
	typ     reflect.Type
	info    *typeInfo

	make func() metav1.Object
	// validName returns what is wrong with a name.
	validName func(string) []string
	// check records what an API server would refuse. It sees the object as it
	// was written, before its defaults.
	check func(*checker, metav1.Object)
	// complete sets defaults, as an API server would. It must take an object
	// of which any part is missing.
	complete func(metav1.Object)
	// salvage gives an empty object the hosts that the traces of a broken one
	// name. Nil: nothing is closed on account of this kind.
	salvage func(o metav1.Object, hosts []string)

	// same reports whether two Sets have the same objects of the kind. Nil: they are
	// no configuration.
	same func(a, b *Set) bool
	// place makes the *Object[T] of a decoded object.
	place func(o *decoded, at reason.Origin, base int, state State) any
	// stale copies an *Object[T] as Stale.
	stale func(object any) any
	// install puts the *Object[T]s into a Set.
	install func(set *Set, objects []any)
}

// row is how a kind is written down in the table.
type row[T any] struct {
	version   string
	also      []string
	cluster   bool
	validName func(string) []string
	// apart: objects are no configuration, but say what runs, or hold key material.
	apart    bool
	index    func(*Set) *Index[T]
	check    func(*checker, *T)
	complete func(*T)
	salvage  func(o *T, hosts []string)
}

// kinds returns the table. To add a kind: a field of Set, a row here, and a
// check and defaults where it needs them.
func kinds() []*kind {
	return append([]*kind{
		row[corev1.Namespace]{
			version: "v1", cluster: true, validName: validation.IsDNS1123Label,
			index:    func(s *Set) *Index[corev1.Namespace] { return &s.Namespaces },
			complete: completeNamespace,
		}.kind(),
		row[corev1.Service]{
			version: "v1", validName: validation.IsDNS1123Label,
			index: func(s *Set) *Index[corev1.Service] { return &s.Services },
			check: checkService, complete: completeService,
		}.kind(),
		row[discoveryv1.EndpointSlice]{
			version: "discovery.k8s.io/v1", apart: true,
			index: func(s *Set) *Index[discoveryv1.EndpointSlice] { return &s.EndpointSlices },
			check: checkEndpointSlice, complete: completeEndpointSlice,
		}.kind(),
		row[corev1.Endpoints]{
			version: "v1", apart: true,
			index: func(s *Set) *Index[corev1.Endpoints] { return &s.Endpoints },
			check: checkEndpoints, complete: completeEndpoints,
		}.kind(),
		row[corev1.Secret]{
			version: "v1", apart: true,
			index: func(s *Set) *Index[corev1.Secret] { return &s.Secrets },
			check: checkSecret, complete: completeSecret,
		}.kind(),
		row[corev1.ConfigMap]{
			version: "v1",
			index:   func(s *Set) *Index[corev1.ConfigMap] { return &s.ConfigMaps },
			check:   checkConfigMap,
		}.kind(),
		row[corev1.Pod]{
			version: "v1", apart: true,
			index: func(s *Set) *Index[corev1.Pod] { return &s.Pods },
			check: checkPod, complete: func(p *corev1.Pod) { completePodSpec(&p.Spec) },
		}.kind(),
		row[appsv1.Deployment]{
			version: "apps/v1", apart: true,
			index: func(s *Set) *Index[appsv1.Deployment] { return &s.Deployments },
			check: checkDeployment, complete: completeDeployment,
		}.kind(),
		row[appsv1.StatefulSet]{
			version: "apps/v1", apart: true,
			index: func(s *Set) *Index[appsv1.StatefulSet] { return &s.StatefulSets },
			check: checkStatefulSet, complete: completeStatefulSet,
		}.kind(),
		row[networkingv1.Ingress]{
			version: "networking.k8s.io/v1",
			index:   func(s *Set) *Index[networkingv1.Ingress] { return &s.Ingresses },
			check:   checkIngress, salvage: salvageIngress,
		}.kind(),
		row[networkingv1.IngressClass]{
			version: "networking.k8s.io/v1", cluster: true,
			index: func(s *Set) *Index[networkingv1.IngressClass] { return &s.IngressClasses },
			check: checkIngressClass,
		}.kind(),
	}, gatewayKinds()...)
}

func (r row[T]) kind() *kind {
	typ := reflect.TypeFor[T]()
	k := &kind{
		name: typ.Name(), version: r.version, also: r.also, cluster: r.cluster, typ: typ, validName: r.validName,
		make:     func() metav1.Object { return any(new(T)).(metav1.Object) },
		check:    func(*checker, metav1.Object) {},
		complete: func(metav1.Object) {},
		stale:    stale[T],
		place:    place[T],
		install:  func(s *Set, objects []any) { *r.index(s) = indexOfAny[T](objects) },
	}
	if !r.apart {
		k.same = func(a, b *Set) bool { return r.index(a).equal(*r.index(b)) }
	}
	if r.validName == nil {
		k.validName = validation.IsDNS1123Subdomain
	}
	if r.check != nil {
		k.check = func(c *checker, o metav1.Object) { r.check(c, any(o).(*T)) }
	}
	if r.complete != nil {
		k.complete = func(o metav1.Object) { r.complete(any(o).(*T)) }
	}
	if r.salvage != nil {
		k.salvage = func(o metav1.Object, hosts []string) { r.salvage(any(o).(*T), hosts) }
	}
	return k
}

// salvageIngress names the hosts, or any host where none is known.
func salvageIngress(in *networkingv1.Ingress, hosts []string) {
	if len(hosts) == 0 {
		hosts = []string{""}
	}
	for _, host := range hosts {
		in.Spec.Rules = append(in.Spec.Rules, networkingv1.IngressRule{Host: host})
	}
}

func place[T any](o *decoded, at reason.Origin, base int, state State) any {
	return &Object[T]{
		Value:  any(o.value).(*T),
		Origin: at,
		Lines:  o.lines.from(base),
		State:  state,

		Incomplete: o.incomplete,
	}
}

func stale[T any](object any) any {
	copied := *object.(*Object[T])
	copied.State = Stale
	return &copied
}

func indexOfAny[T any](objects []any) Index[T] {
	typed := make([]*Object[T], len(objects))
	for i, o := range objects {
		typed[i] = o.(*Object[T])
	}
	return NewIndex(typed)
}

// nameOf returns the name of an object of kind k, and gives the object the
// namespace that it has on a cluster.
func (k *kind) nameOf(o metav1.Object) Name {
	switch {
	case k.cluster:
		o.SetNamespace("")
	case o.GetNamespace() == "":
		o.SetNamespace(metav1.NamespaceDefault)
	}
	return Name{o.GetNamespace(), o.GetName()}
}

// kindNamed returns the kind that a word names, or was probably meant to name:
// letters of the other case and a slip or two of the pen do not count. Short
// names allow for less, because Pod is near Job.
func (r *reader) kindNamed(word string) *kind {
	if k := r.kinds[word]; k != nil {
		return k
	}
	var best *kind
	bestDistance := 3
	for _, name := range r.names {
		d := Distance(strings.ToLower(word), strings.ToLower(name))
		if d < bestDistance && d <= max(1, len(name)/3) {
			best, bestDistance = r.kinds[name], d
		}
	}
	return best
}

// cutList takes the word List, or what was probably meant to be it, from the
// end of a kind.
func cutList(word string) (stem string, isList bool) {
	const list = "list"
	lower := strings.ToLower(word)
	if Distance(lower, list) <= 1 {
		return "", true
	}
	if strings.HasSuffix(lower, list) {
		return word[:len(word)-len(list)], true
	}
	return word, false
}

func nameOf(k *kind) string {
	if k == nil {
		return ""
	}
	return k.name
}

// meant tells which kind, or list of a kind, a header means, and what is wrong
// with how it says so. The kind is nil for a List of anything, and for what
// Windrose has no use for.
func (r *reader) meant(node *yaml.Node, h header) (k *kind, isList bool, flaw *problem) {
	stem, isList := cutList(h.Kind)
	written := "List"
	if stem != "" {
		k = r.kindNamed(stem)
		if k == nil || k.foreign(h.APIVersion) {
			return nil, false, nil
		}
		if written = k.name; isList {
			written += "List"
		}
	}
	whose := ""
	if isList {
		whose = "the list's "
	}
	switch {
	case h.Kind != written:
		flaw = &problem{field: "kind", message: fmt.Sprintf("%s%q is no kind", whose, clip(h.Kind)), fix: "write kind: " + written}
	case written == "List" && h.APIVersion != "v1":
		flaw = &problem{field: "apiVersion", message: fmt.Sprintf("%sapiVersion is %q, and List has no such", whose, clip(h.APIVersion)), fix: "write apiVersion: v1"}
	default:
		return k, isList, nil
	}
	flaw.code, flaw.line = reason.InvalidValue, lineOfKey(node, flaw.field)
	return k, isList, flaw
}

// lineOfKey is the line of a key of a mapping, or else that of the mapping.
func lineOfKey(node *yaml.Node, key string) int {
	node = aliased(node)
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == key {
			return node.Content[i].Line
		}
	}
	return node.Line
}

// foreign reports whether apiVersion is that of somebody else's kind with the
// same name, such as serving.knative.dev/v1 Service. The groups of Kubernetes
// itself, and slips of the pen, are not foreign.
func (k *kind) foreign(apiVersion string) bool {
	group, _, grouped := strings.Cut(apiVersion, "/")
	if !grouped || !strings.Contains(group, ".") || strings.HasSuffix(group, ".k8s.io") {
		return false
	}
	own, _, _ := strings.Cut(k.version, "/")
	return Distance(group, own) > 3
}
