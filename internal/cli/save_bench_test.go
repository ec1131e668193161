package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"windrose.dev/windrose/internal/control"
	"windrose.dev/windrose/internal/proxy/serve"
	"windrose.dev/windrose/internal/source/dir"
	"windrose.dev/windrose/internal/translate"
)

const saveIngress = `apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: web-%[1]d
  namespace: bench
  annotations: {nginx.ingress.kubernetes.io/rewrite-target: /generation-%[2]d}
spec:
  rules:
  - host: host-%[1]d.example.com
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: echo, port: {number: 80}}}}]}
`

const saveEcho = `apiVersion: v1
kind: Pod
metadata: {name: echo, namespace: bench, labels: {app: echo}}
spec: {containers: [{name: echo, image: example.com/echo:1, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: echo, namespace: bench}
spec: {selector: {app: echo}, ports: [{port: 80, targetPort: 8080}]}
`

// BenchmarkSave measures what one changed file of 5,000 costs `windrose run`, from
// reading it to the live Generation, and its three steps.
func BenchmarkSave(b *testing.B) {
	const files = 5000
	folder := b.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	for i := range files {
		write(fmt.Sprintf("%d.yaml", i), fmt.Sprintf(saveIngress, i, 0))
	}
	write("echo.yaml", saveEcho)
	r, err := newRunner(io.Discard, io.Discard, []string{folder}, &runFlags{log: "off", output: "text", publish: serve.Publish{80: "127.0.0.1:0"}})
	if err != nil {
		b.Fatal(err)
	}
	// The files are new; Settle is short, so that the benchmark measures a directory at
	// rest.
	r.loader = dir.NewLoader(dir.Config{Dirs: []string{folder}, Guards: translate.Guards, Settle: time.Millisecond})
	if first := r.loop.Build(); first.Err != nil {
		b.Fatal(first.Err)
	}
	var took control.Took
	for n := 1; b.Loop(); n++ {
		b.StopTimer()
		write("next", fmt.Sprintf(saveIngress, 0, n))
		if err := os.Rename(filepath.Join(folder, "next"), filepath.Join(folder, "0.yaml")); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		result := r.loop.Build()
		if result.Err != nil {
			b.Fatal(result.Err)
		}
		took.Read += result.Took.Read
		took.Translate += result.Took.Translate
		took.Apply += result.Took.Apply
	}
	for name, d := range map[string]time.Duration{"read": took.Read, "translate": took.Translate, "apply": took.Apply} {
		b.ReportMetric(d.Seconds()*1e3/float64(b.N), name+"-ms/op")
	}
}
