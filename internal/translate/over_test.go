package translate

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"windrose.dev/windrose/internal/model"
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
// alone, after any kind of change. Only a change of endpoints alone keeps the
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
		endpointsOnly    bool
	}{
		{"an endpoint moves", "slice.yaml", slice("10.0.0.2"), true},
		{"an endpoint that is refused", "slice.yaml", slice("nowhere"), true},
		{"it is good again", "slice.yaml", slice("10.0.0.3"), true},
		{"a Pod", "pod.yaml", "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: shop}, spec: {containers: [{name: c, image: i}]}}", true},
		{"the port of a Service", "base.yaml", strings.Replace(overBase, "name: http, port: 80", "name: other, port: 80", 1), false},
		{"an annotation", "base.yaml", strings.Replace(overBase, "{name: shop,", "{name: shop, annotations: {nginx.ingress.kubernetes.io/enable-cors: \"true\"},", 1), false},
		{"an Ingress that moves by a line", "base.yaml", "# moved\n" + overBase, false},
		{"a broken Ingress", "base.yaml", strings.Replace(overBase, "path: /,", "path: 7,", 1), false},
		{"an endpoint, beside the broken Ingress", "slice.yaml", slice("10.0.0.4"), true},
		{"a Namespace", "namespace.yaml", "{apiVersion: v1, kind: Namespace, metadata: {name: shop}}", false},
	} {
		write(step.file, step.text)
		set := loader.Load()
		if same := set.SameConfig(last.set); same != step.endpointsOnly {
			t.Errorf("%s: the same configuration: %v", step.name, same)
		}
		got, want := BuildOver(set, Options{}, &last), Build(set, Options{})
		if got.Snapshot.Root != want.Snapshot.Root || model.Format(got.Snapshot) != model.Format(want.Snapshot) {
			t.Errorf("%s: another Snapshot\n%s", step.name, cmp.Diff(model.Format(want.Snapshot), model.Format(got.Snapshot)))
		}
		if diff := cmp.Diff(want.Reports, got.Reports); diff != "" {
			t.Errorf("%s: other Reports\n%s", step.name, diff)
		}
		if diff := cmp.Diff(want.Status.String(), got.Status.String()); diff != "" {
			t.Errorf("%s: another status\n%s", step.name, diff)
		}
		last = got
	}
}

// BenchmarkBuildOver measures a change of one of 5,000 EndpointSlices with 20,000
// endpoints, beside 5,000 Ingresses, without reading it: the Set, the Snapshot, and its
// hash.
func BenchmarkBuildOver(b *testing.B) {
	folder := b.TempDir()
	four := strings.Replace(overSlice, "ADDRESS", "10.0.0.1]}, {addresses: [10.0.0.2]}, {addresses: [10.0.0.3]}, {addresses: [10.0.0.4", 1)
	var config, slices strings.Builder
	for i := range 5000 {
		tenant := fmt.Sprintf("shop%d", i)
		config.WriteString(strings.ReplaceAll(overBase, "shop", tenant) + "---\n")
		slices.WriteString(strings.ReplaceAll(four, "shop", tenant) + "---\n")
	}
	for name, text := range map[string]string{"config.yaml": config.String(), "slices.yaml": slices.String()} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	loader := dir.NewLoader(dir.Config{Dirs: []string{folder}, Guards: Guards, Settle: time.Millisecond})
	last := Build(loader.Load(), Options{})
	if n := len(last.Snapshot.Endpoints); n != 5000 {
		b.Fatal(n, "lists of endpoints")
	}
	moved := strings.Replace(slices.String(), "10.0.0.1", "10.1.0.1", 1)
	if err := os.WriteFile(filepath.Join(folder, "slices.yaml"), []byte(moved), 0o600); err != nil {
		b.Fatal(err)
	}
	sets := [2]*source.Set{loader.Load(), last.set}
	before := last.Snapshot.ConfigHash
	for n := 0; b.Loop(); n++ {
		last = BuildOver(sets[n%2], Options{}, &last)
	}
	if last.Snapshot.ConfigHash != before {
		b.Error("another configuration")
	}
}
