package dir

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"windrose.dev/windrose/internal/source"
)

// loadKinds loads the objects of testdata/kinds.txtar.
func loadKinds(t *testing.T) *source.Set {
	dir := t.TempDir()
	for i, text := range documentsOf(t, "testdata/kinds.txtar") {
		writeFile(t, filepath.Join(dir, string(rune('a'+i))+".yaml"), text)
	}
	writeFile(t, filepath.Join(dir, "secret.yaml"), `apiVersion: v1
kind: Secret
metadata: {name: merged}
data: {kept: b2xk, both: b2xk}
stringData: {both: new}
`)
	set := NewLoader(Config{Dirs: []string{dir}}).Load()
	if len(set.Reports) > 0 {
		t.Fatal(set.Reports)
	}
	return set
}

// TestDefaults: what an API server would fill in, as far as we read it.
func TestDefaults(t *testing.T) {
	set := loadKinds(t)
	web := set.Services.Get("shop", "web").Value.Spec
	slice := set.EndpointSlices.Get("shop", "web-1").Value
	secret := set.Secrets.Get("default", "merged").Value
	pod := set.Pods.Get("default", "one").Value.Spec
	for _, test := range []struct {
		what      string
		got, want any
	}{
		{"service type", web.Type, corev1.ServiceTypeClusterIP},
		{"service affinity", web.SessionAffinity, corev1.ServiceAffinityNone},
		{"service protocol", web.Ports[0].Protocol, corev1.ProtocolTCP},
		{"named target port", web.Ports[0].TargetPort, intstr.FromString("web")},
		{"no target port", web.Ports[1].TargetPort, intstr.FromInt32(81)},
		{"hexadecimal port", set.Services.Get("default", "plain").Value.Spec.Ports[0].Port, int32(80)},
		{"written type", set.Services.Get("default", "plain").Value.Spec.Type, corev1.ServiceTypeNodePort},
		{"slice protocol", *slice.Ports[0].Protocol, corev1.ProtocolTCP},
		{"yes is true", *slice.Endpoints[0].Conditions.Ready, true},
		{"conditions stay unset", slice.Endpoints[0].Conditions.Terminating == nil, true},
		{"endpoints protocol", set.Endpoints.Get("shop", "old").Value.Subsets[0].Ports[0].Protocol, corev1.ProtocolTCP},
		{"secret type", secret.Type, corev1.SecretTypeOpaque},
		{"secret data", secret.Data, map[string][]byte{"kept": []byte("old"), "both": []byte("new")}},
		{"string data is merged", secret.StringData == nil, true},
		{"keys of YAML 1.1", set.ConfigMaps.Get("default", "one").Value.Data, map[string]string{"a": "1", "2": "two", "true": "off"}},
		{"replicas", *set.Deployments.Get("default", "web").Value.Spec.Replicas, int32(1)},
		{"no replicas", *set.StatefulSets.Get("default", "db").Value.Spec.Replicas, int32(0)},
		{"merge keys", set.StatefulSets.Get("default", "db").Value.Labels, map[string]string{"app": "db", "kept": "merged"}},
		{"container protocol", pod.Containers[0].Ports[0].Protocol, corev1.ProtocolTCP},
		{"no namespace", set.Namespaces.Get("", "shop").Value.Namespace, ""},
		{"default namespace", set.Pods.Get("default", "one").Value.Namespace, "default"},
	} {
		if diff := cmp.Diff(test.want, test.got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", test.what, diff)
		}
	}
}

// TestLines: every field knows its line in the file, and one that was not
// written has that of its parent.
func TestLines(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "a.yaml"), `# one
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: web
  annotations:
    nginx.ingress.kubernetes.io/rewrite-target: /
    example.com/other: z
spec:
  rules:
  - host: a.example.com
    http:
      paths:
      - path: /a
        pathType: Prefix
        backend: &backend
          service:
            name: a
            port:
              number: 80
      - pathType: Prefix
        path: /b
        backend: *backend
`)
	set := NewLoader(Config{Dirs: []string{dir}}).Load()
	web := set.Ingresses.Get("default", "web")
	if web == nil || len(set.Reports) > 0 {
		t.Fatal(set.Reports)
	}
	for field, want := range map[string]int{
		"metadata": 5,
		"metadata.annotations[nginx.ingress.kubernetes.io/rewrite-target]": 8,
		"metadata.annotations[example.com/other]":                          9,
		"metadata.annotations[nginx.ingress.kubernetes.io/auth-url]":       7,
		"spec.rules[0]": 12,
		"spec.rules[0].http.paths[0].backend.service.port":      20,
		"spec.rules[0].http.paths[1]":                           22,
		"spec.rules[0].http.paths[1].path":                      23,
		"spec.rules[0].http.paths[1].backend":                   24,
		"spec.rules[0].http.paths[1].backend.service.name":      19,
		"spec.rules[0].http.paths[1].backend.resource.apiGroup": 24,
		"spec.rules[7].host":                                    11,
		"status.loadBalancer":                                   3,
	} {
		if got := web.At(field).Line; got != want {
			t.Errorf("%s: line %d, want %d", field, got, want)
		}
	}
}

// TestLinesMoveWithTheirDocument: text that is the same at another place, or in
// another file, is not decoded again and yet has the lines of its new place.
func TestLinesMoveWithTheirDocument(t *testing.T) {
	dir := t.TempDir()
	one, two := configMap("one", 1)+"---\n", "---\n"+configMap("two", 1)
	loader := NewLoader(Config{Dirs: []string{dir}})
	writeFile(t, filepath.Join(dir, "a.yaml"), two)
	before := loader.Load().ConfigMaps.Get("default", "two")
	writeFile(t, filepath.Join(dir, "a.yaml"), one+two[4:])
	writeFile(t, filepath.Join(dir, "a.yaml"), one+"---\n---\n"+two)
	after := loader.Load().ConfigMaps.Get("default", "two")
	if after.Value != before.Value {
		t.Error("the document was decoded again")
	}
	if before.At("data[v]").Line != 5 || after.At("data[v]").Line != 12 || after.Origin.Line != 9 {
		t.Errorf("lines are %d, then %d, of an object at line %d", before.At("data[v]").Line, after.At("data[v]").Line, after.Origin.Line)
	}
}

// TestTombstoneHoldsWhatCanBeRead: bad fields are dropped, the rest is there.
func TestTombstoneHoldsWhatCanBeRead(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "a.yaml"), `apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: web
  labels: [a]
  annotations:
    nginx.ingress.kubernetes.io/auth-url: "https://auth"
    nginx.ingress.kubernetes.io/use-regex: true
spec:
  rules:
  - not a rule
  - host: a.example.com
    http: {paths: [{path: /a, pathTipe: Prefix, backend: {service: {name: web, port: 80}}}]}
`)
	set := NewLoader(Config{Dirs: []string{dir}, Guards: guardsInTests}).Load()
	web := set.Ingresses.Get("default", "web")
	if web == nil || web.State != source.Tombstone {
		t.Fatal(web, set.Reports)
	}
	rules := web.Value.Spec.Rules
	if len(rules) != 2 || rules[1].Host != "a.example.com" || rules[1].HTTP.Paths[0].Path != "/a" || rules[1].HTTP.Paths[0].Backend.Service.Name != "web" {
		t.Errorf("rules: %+v", rules)
	}
	if got := web.Value.Annotations["nginx.ingress.kubernetes.io/use-regex"]; got != "true" {
		t.Errorf("annotation: %q", got)
	}
	if len(set.Reports) != 6 {
		t.Errorf("reports: %v", set.Reports)
	}
}
