//go:build peers

package peers

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"windrose.dev/windrose/bench/rig"
)

// mutualNginx is a server that asks for a client certificate and responds with its
// subject and serial.
const mutualNginx = `
	server {
		listen %[1]s ssl;
		ssl_certificate %[2]s;
		ssl_certificate_key %[3]s;
		ssl_client_certificate %[4]s;
		ssl_verify_client on;
		access_log %[5]s;
		location / { default_type text/plain; return 200 "$ssl_client_verify $ssl_client_s_dn $ssl_client_serial"; }
	}`

// mutualBase is shared by the resources below: our client certificate, alone and together
// with certificate authorities for backends.
const mutualBase = `
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: windrose}
spec: {controllerName: windrose.dev/gateway-controller}
---
apiVersion: v1
kind: Secret
metadata: {name: client, namespace: shop}
type: kubernetes.io/tls
stringData: {tls.crt: %[1]q, tls.key: %[2]q}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: named, namespace: shop}
spec:
  gatewayClassName: windrose
  tls: {backend: {clientCertificateRef: {name: client}}}
  listeners: [{name: http, port: 81, protocol: HTTP}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: nameless, namespace: shop}
spec:
  gatewayClassName: windrose
  listeners: [{name: http, port: 82, protocol: HTTP}]
`

// mutualBackend is a Service behind both Gateways and two Ingresses, with a certificate
// authority for its certificate. The first Ingress shows our client certificate; the
// second does not.
const mutualBackend = `---
apiVersion: v1
kind: Service
metadata: {name: %[1]s, namespace: shop}
spec: {ports: [{port: 443}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %[1]s-1, namespace: shop, labels: {kubernetes.io/service-name: %[1]s}}
addressType: IPv4
ports: [{port: %[2]s}]
endpoints: [{addresses: [127.0.0.1]}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: %[1]s-ca, namespace: shop}
data: {ca.crt: %[3]q}
---
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: %[1]s, namespace: shop}
spec:
  targetRefs: [{group: "", kind: Service, name: %[1]s}]
  validation: {hostname: backend.example.com, caCertificateRefs: [{group: "", kind: ConfigMap, name: %[1]s-ca}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: %[1]s, namespace: shop}
spec:
  parentRefs: [{name: named}, {name: nameless}]
  rules:
  - matches: [{path: {value: /%[1]s}}]
    backendRefs: [{name: %[1]s, port: 443}]
---
apiVersion: v1
kind: Secret
metadata: {name: %[1]s-both, namespace: shop}
stringData: {tls.crt: %[4]q, tls.key: %[5]q, ca.crt: %[3]q}
---
apiVersion: v1
kind: Secret
metadata: {name: %[1]s-ca, namespace: shop}
stringData: {ca.crt: %[3]q}
` + mutualIngress

const mutualIngress = `---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: %[1]s-named
  namespace: shop
  annotations:
    nginx.ingress.kubernetes.io/backend-protocol: HTTPS
    nginx.ingress.kubernetes.io/proxy-ssl-verify: "on"
    nginx.ingress.kubernetes.io/proxy-ssl-name: backend.example.com
    nginx.ingress.kubernetes.io/proxy-ssl-secret: shop/%[1]s-both
spec:
  ingressClassName: nginx
  rules: [{http: {paths: [{path: /%[1]s, pathType: Prefix, backend: {service: {name: %[1]s, port: {number: 443}}}}]}}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: %[1]s-nameless
  namespace: shop
  annotations:
    nginx.ingress.kubernetes.io/backend-protocol: HTTPS
    nginx.ingress.kubernetes.io/proxy-ssl-verify: "on"
    nginx.ingress.kubernetes.io/proxy-ssl-name: backend.example.com
    nginx.ingress.kubernetes.io/proxy-ssl-secret: shop/%[1]s-ca
spec:
  ingressClassName: nginx
  rules: [{http: {paths: [{path: /nameless/%[1]s, pathType: Prefix, backend: {service: {name: %[1]s, port: {number: 443}}}}]}}]
`

// TestMutualTLS tests an nginx as backend that asks for a client certificate: it accepts
// ours, refuses us without one, and gets no byte of a request if its own certificate is
// not the expected one.
func TestMutualTLS(t *testing.T) {
	r := newRig(t)
	certificate := must[rig.Certificate](t)
	server, client, other := certificate(r.NewCertificate("backend.example.com")), certificate(r.NewCertificate()), certificate(r.NewCertificate("backend.example.com"))
	free := ports(t, 6)
	ingress, named, nameless, admin := free[0], free[1], free[2], free[3]
	text := fmt.Sprintf(mutualBase, client.Chain, client.Key)
	logs := map[string]string{}
	var servers strings.Builder
	for i, backend := range []struct {
		name      string
		authority rig.Certificate
	}{{"right", server}, {"wrong", other}} {
		address := free[4+i]
		logs[backend.name] = filepath.Join(r.Dir, backend.name+".log")
		fmt.Fprintf(&servers, mutualNginx, address, server.ChainFile, server.KeyFile, client.ChainFile, logs[backend.name])
		text += fmt.Sprintf(mutualBackend, backend.name, portOf(address)[1:], backend.authority.Chain, client.Chain, client.Key)
	}
	startNginx(t, r, servers.String(), free[4:]...)
	file := must[string](t)(r.File("resources/all.yaml", []byte(text)))
	p := startDirectory(t, r, filepath.Dir(file), admin, map[int]string{80: ingress, 81: named, 82: nameless})
	ok(t, p.Accepting(soon(t), ingress, named, nameless))

	seen := fmt.Sprintf("SUCCESS CN=windrose rig %X", serial(t, client))
	const refused = "No required SSL certificate was sent"
	for _, c := range []struct {
		name, address, path string
		status              []int
		body                string
	}{
		{"Gateway, the wrong authority", named, "/wrong", []int{502, 503}, ""},
		{"Gateway, the wrong authority, no certificate", nameless, "/wrong", []int{502, 503}, ""},
		{"Ingress, the wrong authority", ingress, "/wrong", []int{502, 503}, ""},
		{"Ingress, the wrong authority, no certificate", ingress, "/nameless/wrong", []int{502, 503}, ""},
		{"Gateway", named, "/right", []int{200}, seen},
		{"Gateway, no certificate", nameless, "/right", []int{400}, refused},
		{"Ingress", ingress, "/right", []int{200}, seen},
		{"Ingress, no certificate", ingress, "/nameless/right", []int{400}, refused},
	} {
		t.Run(c.name, func(t *testing.T) {
			answer := get(t, c.address, c.path)
			if !slices.Contains(c.status, answer.Status) {
				t.Errorf("%d, and not %d: %s", answer.Status, c.status, answer.Body)
			}
			if !strings.Contains(string(answer.Body), c.body) {
				t.Errorf("%q does not hold %q", answer.Body, c.body)
			}
		})
	}
	read := func(name string) string { return string(must[[]byte](t)(os.ReadFile(logs[name]))) }
	ok(t, p.Await(soon(t), func() bool { return strings.Count(read("right"), "\n") == 4 }))
	if got := read("wrong"); got != "" {
		t.Errorf("the backend that is not who it should be was asked:\n%s", got)
	}
}

// serial returns the serial number of a certificate.
func serial(t *testing.T, c rig.Certificate) []byte {
	t.Helper()
	block, _ := pem.Decode(c.Chain)
	return must[*x509.Certificate](t)(x509.ParseCertificate(block.Bytes)).SerialNumber.Bytes()
}
