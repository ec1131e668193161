package dir

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"

	"windrose.dev/windrose/internal/source/crd"

	"windrose.dev/windrose/internal/source"
)

// TestGatewayValues: what the Set holds is what a client of an API server gets
// that was given the same text, read by the API server's own libraries.
func TestGatewayValues(t *testing.T) {
	r := newReader(Config{}.withDefaults())
	for _, text := range documentsOf(t, "testdata/gateway.txtar") {
		doc := r.document(text)
		if strings.Contains(text, "List") {
			continue
		}
		if len(doc.objects) != 1 || len(doc.objects[0].Problems) > 0 {
			t.Fatalf("%s\n%+v", text, doc)
		}
		o := doc.objects[0]
		want := o.Kind.New()
		fromServer(t, text, want)
		o.Kind.NameOf(want)
		if diff := cmp.Diff(want, o.Value); diff != "" {
			t.Errorf("%s\n-want +got:\n%s", text, diff)
		}
	}
}

// fromServer reads text as kubectl and an API server do.
func fromServer(t *testing.T, text string, into metav1.Object) {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(text))
	must(t, err)
	object := map[string]any{}
	must(t, utiljson.Unmarshal(raw, &object))
	kind, written := object["kind"].(string), object["apiVersion"].(string)
	if problems := crd.Find(written, kind).Admit(object, 10); len(problems) > 0 {
		t.Fatal(problems)
	}
	crd.Find(gatewayv1.GroupName+"/v1", kind).Convert(object)
	raw, err = json.Marshal(object)
	must(t, err)
	must(t, json.Unmarshal(raw, into))
}

// loadOne loads one text.
func loadOne(t *testing.T, text string) *source.Set {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "a.yaml"), text)
	return NewLoader(Config{Dirs: []string{dir}, Guards: guardsInTests}).Load()
}

// TestGatewayDefaults: what an API server fills in, in the types that readers
// of the Set see.
func TestGatewayDefaults(t *testing.T) {
	set := loadOne(t, `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, generation: 7}
spec:
  parentRefs: [{name: edge}]
  rules:
  - backendRefs: [{name: web, port: 80}]
  - matches: [{headers: [{name: a, value: b}]}]
    filters: [{type: RequestRedirect, requestRedirect: {path: {type: ReplaceFullPath, replaceFullPath: /}}}]
status: {parents: []}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  gatewayClassName: windrose
  listeners: [{name: https, port: 443.0, protocol: HTTPS, tls: {certificateRefs: [{name: a}]}}]
`)
	if len(set.Reports) > 0 {
		t.Fatal(set.Reports)
	}
	web := set.HTTPRoutes.Get("default", "web").Value
	edge := set.Gateways.Get("default", "edge").Value
	parent, backend := web.Spec.ParentRefs[0], web.Spec.Rules[0].BackendRefs[0]
	listener := edge.Spec.Listeners[0]
	for _, test := range []struct {
		what      string
		got, want any
	}{
		{"parent group", *parent.Group, gatewayv1.Group("gateway.networking.k8s.io")},
		{"parent kind", *parent.Kind, gatewayv1.Kind("Gateway")},
		{"matches", len(web.Spec.Rules[0].Matches), 1},
		{"match type", *web.Spec.Rules[0].Matches[0].Path.Type, gatewayv1.PathMatchPathPrefix},
		{"match value", *web.Spec.Rules[0].Matches[0].Path.Value, "/"},
		{"path of a match by header", *web.Spec.Rules[1].Matches[0].Path.Value, "/"},
		{"header match type", *web.Spec.Rules[1].Matches[0].Headers[0].Type, gatewayv1.HeaderMatchExact},
		{"backend group", *backend.Group, gatewayv1.Group("")},
		{"backend kind", *backend.Kind, gatewayv1.Kind("Service")},
		{"backend weight", *backend.Weight, int32(1)},
		{"redirect status", *web.Spec.Rules[1].Filters[0].RequestRedirect.StatusCode, 302},
		{"port", listener.Port, gatewayv1.PortNumber(443)},
		{"TLS mode", *listener.TLS.Mode, gatewayv1.TLSModeTerminate},
		{"certificate group", *listener.TLS.CertificateRefs[0].Group, gatewayv1.Group("")},
		{"certificate kind", *listener.TLS.CertificateRefs[0].Kind, gatewayv1.Kind("Secret")},
		{"routes allowed", *listener.AllowedRoutes.Namespaces.From, gatewayv1.NamespacesFromSame},
		{"condition", edge.Status.Conditions[0].Reason, "Pending"},
		{"metadata", web.Generation, int64(7)},
		{"apiVersion", web.APIVersion, gatewayv1.GroupName + "/v1"},
	} {
		if diff := cmp.Diff(test.want, test.got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", test.what, diff)
		}
	}
}

// TestGatewayTombstone: a broken route that guards keeps what can be read, with
// its defaults, so that what it names can be closed.
func TestGatewayTombstone(t *testing.T) {
	set := loadOne(t, `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, annotations: {nginx.ingress.kubernetes.io/auth-url: x}}
spec:
  hostnames: [shop.example.com]
  parentRefs: [{name: edge, port: "80"}]
  rules: [{backendRefs: [{name: web, port: 80, wait: 3}]}]
`)
	web := set.HTTPRoutes.Get("default", "web")
	if web == nil || web.State != source.Tombstone {
		t.Fatal(web, set.Reports)
	}
	spec := web.Value.Spec
	if len(spec.Hostnames) != 1 || *spec.ParentRefs[0].Kind != "Gateway" || *spec.Rules[0].Matches[0].Path.Value != "/" || *spec.Rules[0].BackendRefs[0].Port != 80 {
		t.Errorf("%+v", spec)
	}
}

const benchRoute = `apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: web-%[1]d
  namespace: shop
spec:
  parentRefs:
  - name: edge
    namespace: infra
  hostnames: [host-%[1]d.example.com]
  rules:
  - matches:
    - path: {type: PathPrefix, value: /}
    backendRefs:
    - name: web
      port: %[2]d
`

func BenchmarkLoadCold5000HTTPRoutes(b *testing.B) {
	dir := b.TempDir()
	docs := make([]string, 5000)
	for i := range docs {
		docs[i] = fmt.Sprintf(benchRoute, i, 80)
	}
	writeFile(b, filepath.Join(dir, "all.yaml"), strings.Join(docs, "---\n"))
	b.ReportAllocs()
	for b.Loop() {
		set := NewLoader(Config{Dirs: []string{dir}}).Load()
		if set.HTTPRoutes.Len() != 5000 || len(set.Reports) != 0 {
			b.Fatal(set.HTTPRoutes.Len(), set.Reports)
		}
	}
}
