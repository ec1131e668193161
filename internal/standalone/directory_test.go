package standalone

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"windrose.dev/windrose/internal/source/dir"
)

const directoryYAML = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata:
      labels: {app: web}
      annotations:
        other: x
        windrose.dev/command: "'"
    spec:
      containers:
      - name: web
        image: web:1
        ports:
        - containerPort: 80
        - containerPort: 53
          protocol: SCTP
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web, namespace: shop}
spec:
  tls:
  - hosts: [shop.example]
    secretName: web-tls
  defaultBackend: {service: {name: web, port: {number: 80}}}
`

// Reports name the lines of the files in a directory.
func TestReportsOfADirectory(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "web.yaml"), []byte(directoryYAML), 0o600); err != nil {
		t.Fatal(err)
	}
	set := dir.NewLoader(dir.Config{Dirs: []string{folder}}).Load()
	h, _ := startHost(t, Config{})
	var got []string
	for _, report := range h.Reconcile(set).Reports {
		got = append(got, strings.ReplaceAll(report.Origin.Place()+" "+report.Code.String(), folder, ""))
	}
	want := []string{"/web.yaml:11 AnnotationInvalid", "/web.yaml:19 NotHonoured", "/web.yaml:27 CertificateGenerated"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
