package translate

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
	"windrose.dev/windrose/internal/source/dir"
)

const overBase = `apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: shop, namespace: shop}
spec:
  rules:
  - host: shop.test
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: front, port: {number: 80}}}}]}
---
apiVersion: v1
kind: Service
metadata: {name: front, namespace: shop}
spec: {ports: [{name: http, port: 80}]}
`

const overSlice = `apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: front-1, namespace: shop, labels: {kubernetes.io/service-name: front}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints: [{addresses: [ADDRESS]}]
`

// TestBuildOver: building a Set over another one gives the same result as building it
// alone, after any kind of change. Only changes of endpoints and Secrets keep the
// configuration.
func TestBuildOver(t *testing.T) {
	folder := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	slice := func(address string) string { return strings.Replace(overSlice, "ADDRESS", address, 1) }
	write("base.yaml", overBase)
	write("slice.yaml", slice("10.0.0.1"))
	loader := dir.NewLoader(dir.Config{Dirs: []string{folder}, Guards: Guards, Settle: time.Millisecond})
	last := Build(loader.Load(), Options{})
	for _, step := range []struct {
		name, file, text string
		sameConfig       bool
	}{
		{"an endpoint moves", "slice.yaml", slice("10.0.0.2"), true},
		{"an endpoint that is refused", "slice.yaml", slice("nowhere"), true},
		{"it is good again", "slice.yaml", slice("10.0.0.3"), true},
		{"a Pod", "pod.yaml", "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: shop}, spec: {containers: [{name: c, image: i}]}}", true},
		{"a Secret", "secret.yaml", "{apiVersion: v1, kind: Secret, metadata: {name: s, namespace: shop}, stringData: {a: b}}", true},
		{"the port of a Service", "base.yaml", strings.Replace(overBase, "name: http, port: 80", "name: other, port: 80", 1), false},
		{"an annotation", "base.yaml", strings.Replace(overBase, "{name: shop,", "{name: shop, annotations: {nginx.ingress.kubernetes.io/enable-cors: \"true\"},", 1), false},
		{"an Ingress that moves by a line", "base.yaml", "# moved\n" + overBase, false},
		{"a broken Ingress", "base.yaml", strings.Replace(overBase, "path: /,", "path: 7,", 1), false},
		{"an endpoint, beside the broken Ingress", "slice.yaml", slice("10.0.0.4"), true},
		{"a Namespace", "namespace.yaml", "{apiVersion: v1, kind: Namespace, metadata: {name: shop}}", false},
	} {
		write(step.file, step.text)
		set := loader.Load()
		if same := set.SameConfig(last.set); same != step.sameConfig {
			t.Errorf("%s: the same configuration: %v", step.name, same)
		}
		got, want := BuildOver(set, Options{}, &last), Build(set, Options{})
		checkOver(t, step.name, got, want)
		last = got
	}
}

// manyTenants are 5,000 Ingresses with TLS, each with a Service of four endpoints. The
// Sets of load have a Secret for each.
type manyTenants struct {
	folder  string
	loader  *dir.Loader
	slices  string
	secrets []*source.Object[corev1.Secret]
}

func newManyTenants(b *testing.B) *manyTenants {
	m := &manyTenants{folder: b.TempDir()}
	m.loader = dir.NewLoader(dir.Config{Dirs: []string{m.folder}, Guards: Guards, Settle: time.Millisecond})
	ingress := strings.Replace(overBase, "spec:\n", "spec:\n  tls: [{hosts: [shop.test], secretName: tls}]\n", 1)
	four := strings.Replace(overSlice, "ADDRESS", "10.0.0.1]}, {addresses: [10.0.0.2]}, {addresses: [10.0.0.3]}, {addresses: [10.0.0.4", 1)
	pair := mint(b, "*.test")
	var config, slices strings.Builder
	for i := range 5000 {
		tenant := fmt.Sprintf("shop%d", i)
		config.WriteString(strings.ReplaceAll(ingress, "shop", tenant) + "---\n")
		slices.WriteString(strings.ReplaceAll(four, "shop", tenant) + "---\n")
		m.secrets = append(m.secrets, secretOf(tenant, pair))
	}
	m.slices = slices.String()
	m.write(b, "config.yaml", config.String())
	m.write(b, "slices.yaml", m.slices)
	return m
}

func secretOf(namespace string, pair keyPair) *source.Object[corev1.Secret] {
	o := &source.Object[corev1.Secret]{Origin: reason.Origin{Kind: "Secret", Namespace: namespace, Name: "tls", File: "tls.yaml", Line: 1}}
	o.Value = &corev1.Secret{Data: map[string][]byte{}}
	show(o, pair)
	return o
}

func (m *manyTenants) write(b *testing.B, name, text string) {
	if err := os.WriteFile(filepath.Join(m.folder, name), []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
}

func (m *manyTenants) load() *source.Set {
	set := *m.loader.Load()
	set.Secrets = source.NewIndex(m.secrets)
	return &set
}

// benchmark builds a Set that m has changed over that of before, and back.
func (m *manyTenants) benchmark(b *testing.B, last Result) {
	if n := len(last.Snapshot.Endpoints); n != 5000 || len(last.Snapshot.Secrets) != 5000 || len(last.Reports) > 0 {
		b.Fatal(n, "lists of endpoints", len(last.Snapshot.Secrets), "secrets", len(last.Reports), "reports")
	}
	sets := [2]*source.Set{m.load(), last.set}
	before, root := last.Snapshot, last.Snapshot.Root
	for n := 0; b.Loop(); n++ {
		if last = BuildOver(sets[n%2], Options{}, &last); n == 0 {
			root = last.Snapshot.Root
		}
	}
	if !sharesConfig(last.Snapshot, before) || root == before.Root {
		b.Error("another configuration, or no change")
	}
}

// BenchmarkBuildOver is a change of one of 5,000 EndpointSlices with 20,000 endpoints,
// beside 5,000 Ingresses, without reading it: the Set, the Snapshot, and its hash.
func BenchmarkBuildOver(b *testing.B) {
	m := newManyTenants(b)
	last := Build(m.load(), Options{})
	m.write(b, "slices.yaml", strings.Replace(m.slices, "10.0.0.1", "10.1.0.1", 1))
	m.benchmark(b, last)
}

// BenchmarkBuildOverSecret is the same for one of 5,000 Secrets, which is rotated.
func BenchmarkBuildOverSecret(b *testing.B) {
	m := newManyTenants(b)
	last := Build(m.load(), Options{})
	m.secrets[2500] = secretOf("shop2500", mint(b, "*.test"))
	m.benchmark(b, last)
}
