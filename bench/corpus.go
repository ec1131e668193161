package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// ingressText is one Ingress with its own host: its arguments are its number, its rewrite
// target and the name of its Service.
const ingressText = `apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: web-%[1]d
  namespace: bench
  annotations:
    nginx.ingress.kubernetes.io/rewrite-target: %[2]s
spec:
  ingressClassName: nginx
  rules:
  - host: host-%[1]d.example.com
    http:
      paths:
      - path: /
        pathType: Prefix
        backend:
          service:
            name: %[3]s
            port:
              number: 80
`

// podText is a Pod for which `windrose run` starts an echo application, and its Service.
const podText = `apiVersion: v1
kind: Pod
metadata: {name: echo, namespace: bench, labels: {app: echo}}
spec: {containers: [{name: echo, image: example.com/echo:1, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: echo, namespace: bench}
spec: {selector: {app: echo}, ports: [{port: 80, targetPort: 8080}]}
`

const gatewayText = `apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: windrose}
spec: {controllerName: windrose.dev/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: bench}
spec: {gatewayClassName: windrose, listeners: [{name: http, port: 80, protocol: HTTP}]}
`

const routeText = `apiVersion: gateway.networking.k8s.io/v1
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

// writeRoutes writes a Gateway and n HTTPRoutes with a Service each, one file for each.
func (c corpus) writeRoutes(n int) error {
	if err := os.WriteFile(filepath.Join(c.dir, "gateway.yaml"), []byte(gatewayText), 0o600); err != nil {
		return err
	}
	for i := range n {
		name := filepath.Join(c.dir, fmt.Sprintf("route-%d.yaml", i))
		if err := os.WriteFile(name, fmt.Appendf(nil, routeText, i), 0o600); err != nil {
			return err
		}
	}
	return nil
}

const serviceText = `apiVersion: v1
kind: Service
metadata: {name: web-%[1]d, namespace: bench}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: web-%[1]d
  namespace: bench
  labels: {kubernetes.io/service-name: web-%[1]d}
addressType: IPv4
ports: [{name: http, port: 8080, protocol: TCP}]
endpoints:
`

// corpus is a directory of resources.
type corpus struct{ dir string }

func newCorpus(dir string) (corpus, error) { return corpus{dir}, os.MkdirAll(dir, 0o755) }

// ingressFile returns the file of an Ingress.
func (c corpus) ingressFile(i int) string {
	return filepath.Join(c.dir, fmt.Sprintf("ingress-%d.yaml", i))
}

// writeIngresses writes n Ingresses, one file for each. If service is empty, each has its
// own Service, web-N.
func (c corpus) writeIngresses(n int, service string) error {
	for i := range n {
		name := service
		if name == "" {
			name = fmt.Sprintf("web-%d", i)
		}
		if err := os.WriteFile(c.ingressFile(i), fmt.Appendf(nil, ingressText, i, "/", name), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// writeServices writes n Services, web-N, each with endpoints, in one file.
func (c corpus) writeServices(n, endpoints int) error {
	docs := make([]string, n)
	for i := range docs {
		docs[i] = serviceDoc(i, endpoints, 0)
	}
	return os.WriteFile(filepath.Join(c.dir, "services.yaml"), []byte(strings.Join(docs, "---\n")), 0o600)
}

// serviceDoc returns a Service and its EndpointSlice. Another shift gives other
// addresses.
func serviceDoc(i, endpoints, shift int) string {
	var doc strings.Builder
	fmt.Fprintf(&doc, serviceText, i)
	for e := range endpoints {
		n := i*endpoints + e
		fmt.Fprintf(&doc, "- addresses: [10.%d.%d.%d]\n", 1+shift, n>>8, n&0xff)
	}
	return doc.String()
}

// replace replaces a file by renaming a new one, as editors do.
func replace(file string, text []byte) error {
	next := file + ".next"
	if err := os.WriteFile(next, text, 0o600); err != nil {
		return err
	}
	return os.Rename(next, file)
}
