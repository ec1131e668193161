package dir

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const benchIngress = `apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: web-%[1]d
  namespace: shop
  annotations:
    nginx.ingress.kubernetes.io/rewrite-target: /$1
spec:
  ingressClassName: nginx
  tls:
  - hosts: [host-%[1]d.example.com]
    secretName: tls-%[1]d
  rules:
  - host: host-%[1]d.example.com
    http:
      paths:
      - path: /
        pathType: Prefix
        backend:
          service:
            name: web
            port:
              number: %[2]d
`

// benchLayouts are the two ways in which 5,000 documents lie in files. Each
// returns how to change one of them.
var benchLayouts = []struct {
	name  string
	write func(tb testing.TB, dir string, n int) (change func(port int))
}{
	{"one-file", writeOneFile},
	{"many-files", writeManyFiles},
}

func writeOneFile(tb testing.TB, dir string, n int) func(int) {
	docs := make([]string, n)
	for i := range docs {
		docs[i] = fmt.Sprintf(benchIngress, i, 80)
	}
	change := func(port int) {
		docs[n/2] = fmt.Sprintf(benchIngress, n/2, port)
		writeFile(tb, filepath.Join(dir, "all.yaml"), strings.Join(docs, "---\n"))
	}
	change(80)
	return change
}

func writeManyFiles(tb testing.TB, dir string, n int) func(int) {
	for i := range n {
		writeFile(tb, filepath.Join(dir, fmt.Sprintf("web-%d.yaml", i)), fmt.Sprintf(benchIngress, i, 80))
	}
	return func(port int) {
		writeFile(tb, filepath.Join(dir, fmt.Sprintf("web-%d.yaml", n/2)), fmt.Sprintf(benchIngress, n/2, port))
	}
}

func writeFile(tb testing.TB, path, text string) {
	tb.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		tb.Fatal(err)
	}
}

func BenchmarkLoadCold5000(b *testing.B) {
	for _, layout := range benchLayouts {
		b.Run(layout.name, func(b *testing.B) {
			dir := b.TempDir()
			layout.write(b, dir, 5000)
			for b.Loop() {
				set := NewLoader(Config{Dirs: []string{dir}}).Load()
				if set.Ingresses.Len() != 5000 || len(set.Reports) != 0 {
					b.Fatal(set.Ingresses.Len(), set.Reports)
				}
			}
		})
	}
}

func BenchmarkLoadWarm5000(b *testing.B) {
	for _, layout := range benchLayouts {
		b.Run(layout.name, func(b *testing.B) {
			dir := b.TempDir()
			change := layout.write(b, dir, 5000)
			loader := NewLoader(Config{Dirs: []string{dir}, Settle: 20 * time.Millisecond})
			loader.Load()
			loader.Load() // by now the files have settled
			for port := 1; b.Loop(); port++ {
				b.StopTimer()
				change(port%60000 + 1)
				b.StartTimer()
				if set := loader.Load(); set.Ingresses.Len() != 5000 {
					b.Fatal(set.Ingresses.Len(), set.Reports)
				}
			}
		})
	}
}
