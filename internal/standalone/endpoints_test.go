package standalone

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"windrose.dev/windrose/internal/source"
)

//lint:file-ignore SA1019 Endpoints is deprecated, and clusters still have it.

// runs returns a runningPod made from a template, with container port N at 1000N.
func runs(name string, ready bool, tmpl corev1.PodTemplateSpec, ports ...int32) runningPod {
	pod := podOf(name, tmpl)
	pod.Namespace = "shop"
	out := runningPod{object: pod, ready: ready, ports: map[int32]int32{}}
	for _, port := range ports {
		out.ports[port] = 1000 + port
	}
	return out
}

// slicesOf returns each slice as "name: service address port=number… ref".
func slicesOf(set *source.Set) []string {
	var out []string
	for slice := range set.EndpointSlices.All() {
		v := slice.Value
		line := v.Name + ": " + v.Labels[discoveryv1.LabelServiceName]
		for _, endpoint := range v.Endpoints {
			line += " " + endpoint.Addresses[0]
			for _, port := range v.Ports {
				line += fmt.Sprintf(" %s=%d", *port.Name, *port.Port)
			}
			if endpoint.TargetRef != nil {
				line += " " + endpoint.TargetRef.Name
			}
		}
		out = append(out, line)
	}
	return out
}

func TestPublishEndpointSlices(t *testing.T) {
	web := template("http:80")
	headless := serviceOf("db", "pg:5432:http")
	headless.Spec.ClusterIP = corev1.ClusterIPNone
	tests := []struct {
		name     string
		services []metav1.Object
		pods     []runningPod
		want     []string
	}{
		{
			"one for each pod",
			[]metav1.Object{serviceOf("svc", "http:8000:http")},
			[]runningPod{runs("a", true, web, 80), runs("b", true, web, 80)},
			[]string{"svc-a: svc 127.0.0.1 http=1080 a", "svc-b: svc 127.0.0.1 http=1080 b"},
		},
		{
			"one for each service",
			[]metav1.Object{serviceOf("s1", ":8000:80"), serviceOf("s2", "x:8000:http", "y:8001:81")},
			[]runningPod{runs("a", true, web, 80, 81)},
			[]string{"s1-a: s1 127.0.0.1 =1080 a", "s2-a: s2 127.0.0.1 x=1080 y=1081 a"},
		},
		{
			"none for a pod that is not ready",
			[]metav1.Object{serviceOf("svc", "http:8000:http")},
			[]runningPod{runs("a", false, web, 80)},
			nil,
		},
		{
			"none without a port",
			[]metav1.Object{serviceOf("svc", "http:8000:nope")},
			[]runningPod{runs("a", true, web, 80)},
			nil,
		},
		{
			"headless",
			[]metav1.Object{headless},
			[]runningPod{runs("a", true, web, 80)},
			[]string{"db-a: db 127.0.0.1 pg=1080 a"},
		},
		{
			"without UDP",
			[]metav1.Object{serviceOf("svc", "u:80:80/UDP", "t:80:80")},
			[]runningPod{runs("a", true, web, 80)},
			[]string{"svc-a: svc 127.0.0.1 t=1080 a"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out := publish(setOf(t, tt.services...), tt.pods)
			if diff := cmp.Diff(tt.want, slicesOf(out)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// web with api-0 and web-api with 0 get the same name: neither slice may be lost.
func TestPublishKeepsBothOfOneSliceName(t *testing.T) {
	set := setOf(t, serviceOf("web", "http:80:80"), serviceOf("web-api", "http:80:80"))
	out := publish(set, []runningPod{runs("api-0", true, template(), 80), runs("0", true, template(), 80)})
	if n := out.EndpointSlices.Len(); n != 4 {
		t.Errorf("%d slices: %v", n, namesOf(out.EndpointSlices))
	}
}

func TestPublishLeavesTheUsersSlices(t *testing.T) {
	slice := func(name, service, managedBy string) *discoveryv1.EndpointSlice {
		return &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
			discoveryv1.LabelServiceName: service, discoveryv1.LabelManagedBy: managedBy,
		}}}
	}
	plain := serviceOf("plain", "http:80:80")
	plain.Spec.Selector = nil
	set := setOf(t, serviceOf("svc", "http:80:80"), plain,
		slice("mine", "svc", ""),
		slice("exported", "svc", managedByKubernetes),
		slice("exported-plain", "plain", managedByKubernetes),
		slice("orphan", "gone", managedByKubernetes))
	out := publish(set, []runningPod{runs("a", true, template(), 80)})
	if diff := cmp.Diff([]string{"exported-plain", "mine", "orphan", "svc-a"}, namesOf(out.EndpointSlices)); diff != "" {
		t.Error(diff)
	}
	if set.EndpointSlices.Len() != 4 {
		t.Error("the Set that was read has changed")
	}
}

func TestPublishDropsEndpointsOfSelectors(t *testing.T) {
	plain := serviceOf("plain", "http:80:80")
	plain.Spec.Selector = nil
	set := setOf(t, serviceOf("svc", "http:80:80"), plain)
	for _, name := range []string{"svc", "plain", "orphan"} {
		endpoints := &corev1.Endpoints{ObjectMeta: metav1.ObjectMeta{Name: name}}
		set.Endpoints = set.Endpoints.With(objectOf("Endpoints", endpoints, endpoints))
	}
	if diff := cmp.Diff([]string{"orphan", "plain"}, namesOf(publish(set, nil).Endpoints)); diff != "" {
		t.Error(diff)
	}
}

func TestPublishPods(t *testing.T) {
	bare := podOf("bare", template("80"))
	exported := podOf("web-1-x", template("80"))
	exported.OwnerReferences = controller("ReplicaSet", "web-1")
	set := setOf(t, bare, exported, deploymentOf("web", 1, template("80")))
	out := publish(set, []runningPod{runs("bare", true, template("80"), 80), runs("web-2-y", false, template("80"))})

	if diff := cmp.Diff([]string{"bare", "web-2-y"}, namesOf(out.Pods)); diff != "" {
		t.Fatal(diff)
	}
	ready, waiting := out.Pods.Get("shop", "bare").Value.Status, out.Pods.Get("shop", "web-2-y").Value.Status
	if ready.PodIP != "127.0.0.1" || ready.Phase != corev1.PodRunning || readyCondition(ready) != corev1.ConditionTrue {
		t.Errorf("ready pod: %+v", ready)
	}
	if waiting.PodIP != "" || waiting.Phase != corev1.PodPending || readyCondition(waiting) != corev1.ConditionFalse {
		t.Errorf("waiting pod: %+v", waiting)
	}
	if bare.Status.PodIP != "" {
		t.Error("the Pod that was read has changed")
	}
}

func readyCondition(status corev1.PodStatus) corev1.ConditionStatus {
	for _, c := range status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status
		}
	}
	return ""
}

func TestPublishHostnames(t *testing.T) {
	set := setOf(t, statefulSetOf("db", 1, template("80")), serviceOf("db", "pg:80:80"), serviceOf("other", "pg:80:80"))
	pod := makePlan(set, 10).pods[0]
	out := publish(set, []runningPod{{object: pod.object, ready: true, ports: map[int32]int32{80: 1080}}})
	own := out.EndpointSlices.Get("shop", "db-db-0").Value.Endpoints[0].Hostname
	other := out.EndpointSlices.Get("shop", "other-db-0").Value.Endpoints[0].Hostname
	if own == nil || *own != "db-0" || other != nil {
		t.Errorf("hostnames %v and %v", own, other)
	}
}
