package standalone

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
)

// setOf returns a Set of objects in namespace shop, as if read from shop.yaml.
func setOf(t *testing.T, values ...metav1.Object) *source.Set {
	t.Helper()
	var set source.Set
	for _, value := range values {
		switch v := value.(type) {
		case *corev1.Service:
			set.Services = set.Services.With(objectOf("Service", v, v))
		case *corev1.Pod:
			set.Pods = set.Pods.With(objectOf("Pod", v, v))
		case *corev1.Secret:
			set.Secrets = set.Secrets.With(objectOf("Secret", v, v))
		case *appsv1.Deployment:
			set.Deployments = set.Deployments.With(objectOf("Deployment", v, v))
		case *appsv1.StatefulSet:
			set.StatefulSets = set.StatefulSets.With(objectOf("StatefulSet", v, v))
		case *discoveryv1.EndpointSlice:
			set.EndpointSlices = set.EndpointSlices.With(objectOf("EndpointSlice", v, v))
		case *networkingv1.Ingress:
			set.Ingresses = set.Ingresses.With(objectOf("Ingress", v, v))
		default:
			t.Fatalf("no fixture for %T", value)
		}
	}
	return &set
}

func objectOf[T any](kind string, value *T, meta metav1.Object) *source.Object[T] {
	meta.SetNamespace("shop")
	return &source.Object[T]{Value: value, Origin: reason.Origin{
		Kind: kind, Namespace: "shop", Name: meta.GetName(), File: "shop.yaml", Line: 1,
	}}
}

// template returns a pod template with label app=web and the container ports, such as
// "http:8080", "8080" or "53/UDP".
func template(ports ...string) corev1.PodTemplateSpec {
	container := corev1.Container{Name: "web", Image: "web:1"}
	for _, p := range ports {
		p, protocol, _ := strings.Cut(p, "/")
		name, number, named := strings.Cut(p, ":")
		if !named {
			name, number = "", name
		}
		container.Ports = append(container.Ports, corev1.ContainerPort{
			Name: name, ContainerPort: portNumber(number), Protocol: corev1.Protocol(protocol),
		})
	}
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{container}},
	}
}

// withCommand returns the template with a program and its environment.
func withCommand(t corev1.PodTemplateSpec, line string, env ...string) corev1.PodTemplateSpec {
	t.Annotations = map[string]string{CommandAnnotation: line}
	for _, e := range env {
		name, value, _ := strings.Cut(e, "=")
		t.Spec.Containers[0].Env = append(t.Spec.Containers[0].Env, corev1.EnvVar{Name: name, Value: value})
	}
	return t
}

func deploymentOf(name string, replicas int32, t corev1.PodTemplateSpec) *appsv1.Deployment {
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       appsv1.DeploymentSpec{Replicas: &replicas, Template: t},
	}
}

func statefulSetOf(name string, replicas int32, t corev1.PodTemplateSpec) *appsv1.StatefulSet {
	return &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       appsv1.StatefulSetSpec{Replicas: &replicas, ServiceName: name, Template: t},
	}
}

func podOf(name string, t corev1.PodTemplateSpec) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: t.Labels, Annotations: t.Annotations},
		Spec:       t.Spec,
	}
}

// serviceOf returns a Service that selects app=web. Its ports are "name:port:target",
// where target is a number, a name or empty.
func serviceOf(name string, ports ...string) *corev1.Service {
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": "web"}},
	}
	for _, p := range ports {
		p, protocol, _ := strings.Cut(p, "/")
		parts := strings.Split(p, ":")
		service.Spec.Ports = append(service.Spec.Ports, corev1.ServicePort{
			Name: parts[0], Port: portNumber(parts[1]),
			TargetPort: intstr.Parse(parts[2]), Protocol: corev1.Protocol(protocol),
		})
	}
	return service
}

// portNumber returns 0 if s is not a number.
func portNumber(s string) int32 {
	n, _ := strconv.ParseInt(s, 10, 32)
	return int32(n)
}

// codesOf returns "Code field" for each Report.
func codesOf(reports []reason.Report) []string {
	var out []string
	for _, r := range reason.Sorted(reports) {
		out = append(out, r.Code.String()+" "+r.Origin.Field)
	}
	return out
}

func namesOf[T any](index source.Index[T]) []string {
	var out []string
	for o := range index.All() {
		out = append(out, o.Name().Name)
	}
	slices.Sort(out)
	return out
}
