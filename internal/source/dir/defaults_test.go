package dir

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

// TestMoreDefaults: what an API server fills in that only some objects have.
func TestMoreDefaults(t *testing.T) {
	set := loadOne(t, `
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: web, kubernetes.io/metadata.name: other}}
---
apiVersion: v1
kind: Service
metadata: {name: sticky}
spec: {sessionAffinity: ClientIP, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: minute}
spec: {sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: 60}}, type: LoadBalancer, ports: [{port: 80, targetPort: ""}]}
---
apiVersion: v1
kind: Service
metadata: {name: away}
spec: {type: ExternalName, externalName: a.example.com, ports: [{port: 443}]}
---
apiVersion: v1
kind: Pod
metadata: {name: one}
spec:
  initContainers: [{name: sidecar, restartPolicy: Always, ports: [{containerPort: 9000}]}]
  containers: [{name: a, ports: [{containerPort: 80}]}]
`)
	if len(set.Reports) > 0 {
		t.Fatal(set.Reports)
	}
	service := func(name string) corev1.ServiceSpec { return set.Services.Get("default", name).Value.Spec }
	pod := set.Pods.Get("default", "one").Value.Spec
	for _, test := range []struct {
		what      string
		got, want any
	}{
		{"a namespace's label", set.Namespaces.Get("", "shop").Value.Labels, map[string]string{"team": "web", "kubernetes.io/metadata.name": "shop"}},
		{"affinity timeout", *service("sticky").SessionAffinityConfig.ClientIP.TimeoutSeconds, int32(10800)},
		{"written affinity timeout", *service("minute").SessionAffinityConfig.ClientIP.TimeoutSeconds, int32(60)},
		{"internal policy", *service("sticky").InternalTrafficPolicy, corev1.ServiceInternalTrafficPolicyCluster},
		{"no external policy", service("sticky").ExternalTrafficPolicy, corev1.ServiceExternalTrafficPolicy("")},
		{"external policy", service("minute").ExternalTrafficPolicy, corev1.ServiceExternalTrafficPolicyCluster},
		{"empty target port", service("minute").Ports[0].TargetPort.IntVal, int32(80)},
		{"no policies of a name", service("away").InternalTrafficPolicy == nil, true},
		{"no affinity", service("away").SessionAffinity, corev1.ServiceAffinityNone},
		{"init container's protocol", pod.InitContainers[0].Ports[0].Protocol, corev1.ProtocolTCP},
	} {
		if diff := cmp.Diff(test.want, test.got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", test.what, diff)
		}
	}
}
