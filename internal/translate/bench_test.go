package translate

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"windrose.dev/windrose/internal/source"
)

const benchGateway = `apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: windrose}
spec: {controllerName: windrose.dev/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: bench}
spec: {gatewayClassName: windrose, listeners: [{name: http, port: 80, protocol: HTTP}]}
`

const benchRoute = `---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web-%[1]d, namespace: bench}
spec:
  parentRefs: [{name: edge}]
  hostnames: [host-%[1]d.example.com]
  rules:
  - matches: [{path: {type: PathPrefix, value: /a}, headers: [{name: x-env, value: canary}]}]
    backendRefs: [{name: web-%[1]d, port: 80}]
---
apiVersion: v1
kind: Service
metadata: {name: web-%[1]d, namespace: bench}
spec: {ports: [{port: 80}]}
`

// BenchmarkBuildHTTPRoutes builds the Snapshot of 5,000 HTTPRoutes.
func BenchmarkBuildHTTPRoutes(b *testing.B) {
	var text strings.Builder
	text.WriteString(benchGateway)
	for i := range 5000 {
		fmt.Fprintf(&text, benchRoute, i)
	}
	file := filepath.Join(b.TempDir(), "routes.yaml")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	set := source.NewLoader(source.Config{Dirs: []string{file}, MaxFileBytes: 64 << 20}).Load()
	if n := len(Build(set, Options{}).Snapshot.Config.Hosts); n != 5001 {
		b.Fatalf("%d hosts: %v", n, set.Reports)
	}
	for b.Loop() {
		Build(set, Options{})
	}
}
