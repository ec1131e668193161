package source_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
)

// resource is an object as an API server's client has it: typed, without a file.
func resource(t *testing.T, value metav1.Object) *source.Resource {
	t.Helper()
	for _, k := range source.Kinds() {
		if empty := k.New(); cmp.Equal(typeName(empty), typeName(value)) {
			r := &source.Resource{Kind: k, Name: k.NameOf(value), Value: value}
			r.Check(10)
			r.Complete()
			return r
		}
	}
	t.Fatalf("no kind for %T", value)
	return nil
}

func typeName(o metav1.Object) string {
	switch o.(type) {
	case *corev1.Pod:
		return "Pod"
	case *networkingv1.Ingress:
		return "Ingress"
	}
	return "other"
}

func ingress(name, host string) *networkingv1.Ingress {
	in := &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}}
	in.Spec.DefaultBackend = &networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: "web", Port: networkingv1.ServiceBackendPort{Number: 80}}}
	if host != "" {
		in.Spec.Rules = []networkingv1.IngressRule{{Host: host}}
	}
	return in
}

// TestSourceWithoutFiles: objects that no file holds make a Set by the same rules: what
// is broken stays as it was, or is a tombstone if it guards; what is gone is gone.
func TestSourceWithoutFiles(t *testing.T) {
	b := source.NewBuilder()
	load := func(resources ...*source.Resource) *source.Set {
		batch := b.Begin()
		for _, r := range resources {
			batch.Add(r, "", 0)
		}
		return batch.Set()
	}
	states := func(set *source.Set) (out []string) {
		for o := range set.Ingresses.All() {
			out = append(out, o.Name().String()+" "+[...]string{"current", "stale", "tombstone"}[o.State])
		}
		return out
	}
	broken, guarding := resource(t, ingress("web", "Not A Host")), resource(t, ingress("new", "Not A Host"))
	guarding.Guards = true
	for i, step := range []struct {
		resources []*source.Resource
		want      []string
		codes     []reason.Code
	}{
		{[]*source.Resource{resource(t, ingress("web", "a.example")), resource(t, ingress("gone", ""))}, []string{"shop/gone current", "shop/web current"}, nil},
		{[]*source.Resource{broken, guarding}, []string{"shop/new tombstone", "shop/web stale"}, []reason.Code{reason.InvalidValue, reason.InvalidValue, reason.KeptLastGood, reason.Tombstone}},
		{[]*source.Resource{resource(t, ingress("web", "b.example"))}, []string{"shop/web current"}, nil},
	} {
		set := load(step.resources...)
		if diff := cmp.Diff(step.want, states(set)); diff != "" {
			t.Errorf("step %d (-want +got):\n%s", i, diff)
		}
		var codes []reason.Code
		for _, r := range set.Reports {
			codes = append(codes, r.Code)
			if r.Origin.Name == "" || r.Origin.Line != 0 || r.Origin.Field == "" && r.Code == reason.InvalidValue {
				t.Errorf("step %d: %s", i, r)
			}
		}
		slices.Sort(codes)
		if diff := cmp.Diff(step.codes, codes); diff != "" {
			t.Errorf("step %d: reports %v", i, set.Reports)
		}
	}
}

// TestProjection: what nothing reads is not kept; what is read stays.
func TestProjection(t *testing.T) {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: "web-0", Labels: map[string]string{"app": "web"},
			ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubelet"}},
			Annotations:   map[string]string{corev1.LastAppliedConfigAnnotation: "{}", "windrose.dev/command": "serve"},
		},
		Spec: corev1.PodSpec{
			ServiceAccountName: "web", NodeName: "node-1", Volumes: []corev1.Volume{{Name: "data"}}, Tolerations: []corev1.Toleration{{Key: "k"}},
			Containers: []corev1.Container{{
				Name: "web", Image: "web:1", Ports: []corev1.ContainerPort{{ContainerPort: 80}},
				Env: []corev1.EnvVar{{Name: "A", Value: "b"}}, VolumeMounts: []corev1.VolumeMount{{Name: "data"}},
			}},
		},
		Status: corev1.PodStatus{PodIP: "10.0.0.1"},
	}
	shared := pod.Annotations
	r := resource(t, pod)
	if len(r.Problems) > 0 {
		t.Fatal(r.Problems)
	}
	want := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: "web-0", Labels: map[string]string{"app": "web"}, Annotations: map[string]string{"windrose.dev/command": "serve"},
		},
		Spec: corev1.PodSpec{
			ServiceAccountName: "web", NodeName: "node-1", RestartPolicy: corev1.RestartPolicyAlways,
			Containers: []corev1.Container{{
				Name: "web", Image: "web:1", Ports: []corev1.ContainerPort{{ContainerPort: 80, Protocol: corev1.ProtocolTCP}}, Env: []corev1.EnvVar{{Name: "A", Value: "b"}},
			}},
		},
		Status: corev1.PodStatus{PodIP: "10.0.0.1"},
	}
	if diff := cmp.Diff(want, r.Value); diff != "" {
		t.Error("(-want +got):\n", diff)
	}
	if len(shared) != 2 {
		t.Error("the annotations of others who hold the object have changed")
	}
}
