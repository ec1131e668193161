package source

import (
	"reflect"
	"slices"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"windrose.dev/windrose/internal/reason"
)

//lint:file-ignore SA1019 Endpoints is deprecated, and clusters still have it.

// Kind is one row of the table of kinds: all that a source needs to know of a kind,
// without its Go type.
type Kind struct {
	Name string
	// Version is the apiVersion in which objects are in a Set.
	Version string
	// Also are other apiVersions that an API server takes.
	Also []string
	// Cluster is set for kinds without a namespace.
	Cluster bool
	// Type is the Go type of objects.
	Type reflect.Type

	make func() metav1.Object
	// validName returns what is wrong with a name.
	validName func(string) []string
	// check records what an API server would refuse. It sees the object as it
	// was written, before its defaults.
	check func(*checker, metav1.Object)
	// complete sets defaults, as an API server would. It must take an object
	// of which any part is missing.
	complete func(metav1.Object)
	// project drops what nobody reads.
	project func(metav1.Object)
	// salvage gives an empty object the hosts that the traces of a broken one
	// name. Nil: nothing is closed on account of this kind.
	salvage func(o metav1.Object, hosts []string)

	// same reports whether two Sets have the same objects of the kind. Nil: they are
	// no configuration.
	same func(a, b *Set) bool
	// place makes the *Object[T] of a Resource.
	place func(o *Resource, at reason.Origin, base int, state State) any
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
	project  func(*T)
	salvage  func(o *T, hosts []string)
}

// Kinds returns the table of all kinds that Windrose reads. It is read-only.
func Kinds() []*Kind { return kinds() }

var kinds = sync.OnceValue(makeKinds)

// makeKinds makes the table. To add a kind: a field of Set, a row here, and a check,
// defaults and a projection where it needs them.
func makeKinds() []*Kind {
	return append([]*Kind{
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
			project: func(p *corev1.Pod) { projectPodSpec(&p.Spec) },
		}.kind(),
		row[appsv1.Deployment]{
			version: "apps/v1", apart: true,
			index: func(s *Set) *Index[appsv1.Deployment] { return &s.Deployments },
			check: checkDeployment, complete: completeDeployment,
			project: func(d *appsv1.Deployment) { projectPodSpec(&d.Spec.Template.Spec) },
		}.kind(),
		row[appsv1.StatefulSet]{
			version: "apps/v1", apart: true,
			index: func(s *Set) *Index[appsv1.StatefulSet] { return &s.StatefulSets },
			check: checkStatefulSet, complete: completeStatefulSet,
			project: func(s *appsv1.StatefulSet) { projectPodSpec(&s.Spec.Template.Spec) },
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

func (r row[T]) kind() *Kind {
	typ := reflect.TypeFor[T]()
	k := &Kind{
		Name: typ.Name(), Version: r.version, Also: r.also, Cluster: r.cluster, Type: typ, validName: r.validName,
		make:     func() metav1.Object { return any(new(T)).(metav1.Object) },
		check:    func(*checker, metav1.Object) {},
		complete: func(metav1.Object) {},
		project:  func(metav1.Object) {},
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
	if r.project != nil {
		k.project = func(o metav1.Object) { r.project(any(o).(*T)) }
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

func place[T any](o *Resource, at reason.Origin, base int, state State) any {
	return &Object[T]{
		Value:  any(o.Value).(*T),
		Origin: at,
		Lines:  o.Lines.from(base),
		State:  state,

		Incomplete: o.Incomplete,
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

// New makes an empty object of the kind.
func (k *Kind) New() metav1.Object { return k.make() }

// Reads reports whether objects of that apiVersion are read.
func (k *Kind) Reads(apiVersion string) bool {
	return apiVersion == k.Version || slices.Contains(k.Also, apiVersion)
}

// NameOf returns the name of an object of kind k, and gives the object the
// namespace that it has on a cluster.
func (k *Kind) NameOf(o metav1.Object) Name {
	switch {
	case k.Cluster:
		o.SetNamespace("")
	case o.GetNamespace() == "":
		o.SetNamespace(metav1.NamespaceDefault)
	}
	return Name{o.GetNamespace(), o.GetName()}
}

// Salvages reports whether something is closed on account of broken objects of the kind,
// and Salvage gives an empty object the hosts that the traces of a broken one name.
func (k *Kind) Salvages() bool                          { return k.salvage != nil }
func (k *Kind) Salvage(o metav1.Object, hosts []string) { k.salvage(o, hosts) }
