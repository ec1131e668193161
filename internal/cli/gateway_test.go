package cli

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"windrose.dev/windrose/internal/call"
)

// gatewayResources has two hosts: steady.localhost, which never changes, and
// moving.localhost, whose backend needs a ReferenceGrant and whose certificate comes from
// a Secret.
const gatewayResources = `apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: windrose}
spec: {controllerName: windrose.dev/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop}
spec:
  gatewayClassName: windrose
  listeners:
  - {name: http, port: 80, protocol: HTTP}
  - {name: steady, port: 443, protocol: HTTPS, hostname: steady.localhost, tls: {certificateRefs: [{name: steady}]}}
  - {name: moving, port: 443, protocol: HTTPS, hostname: moving.localhost, tls: {certificateRefs: [{name: moving}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: steady, namespace: shop}
spec:
  parentRefs: [{name: edge}]
  hostnames: [steady.localhost]
  rules: [{backendRefs: [{name: web, port: 80}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: moving, namespace: shop}
spec:
  parentRefs: [{name: edge}]
  hostnames: [moving.localhost]
  rules: [{backendRefs: [{name: far, namespace: other, port: 80}]}]
---
apiVersion: v1
kind: Service
metadata: {name: far, namespace: other}
spec: {selector: {app: far}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: far, namespace: other, labels: {app: far}}
spec: {containers: [{name: far, image: example.com/far:1, ports: [{containerPort: 8080}]}]}
`

const gatewayGrant = `apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {name: shop, namespace: other}
spec:
  from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: shop}]
  to: [{group: "", kind: Service}]
`

// secretFor returns a Secret with a certificate of the given serial number.
func secretFor(t *testing.T, number int64) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(number), Subject: pkix.Name{CommonName: "moving"}, DNSNames: []string{"moving.localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := func(kind string, der []byte) string {
		return base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: {name: moving, namespace: shop}\ntype: kubernetes.io/tls\ndata: {tls.crt: %s, tls.key: %s}\n",
		text("CERTIFICATE", der), text("PRIVATE KEY", keyDER))
}

// serial returns the serial number of the certificate served now.
func (s *site) serial() int64 {
	s.t.Helper()
	conn, err := tls.Dial("tcp", s.https, &tls.Config{ServerName: "moving.localhost", InsecureSkipVerify: true})
	if err != nil {
		return 0
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

// movingStatus returns the status of moving.localhost in plain text.
func (s *site) movingStatus() int { return s.hostStatus("moving.localhost") }

func (s *site) hostStatus(host string) int {
	s.t.Helper()
	result, err := call.Run(s.ctx, call.Config{URL: "http://" + s.http + "/", Header: map[string][]string{"Host": {host}}})
	if err != nil || result.First == nil {
		s.t.Fatalf("%v %v", err, result.FirstError)
	}
	return result.First.Status
}

// TestReferencesUnderLoad: grants that come and go and a replaced certificate cost other
// hosts no request.
func TestReferencesUnderLoad(t *testing.T) {
	s := newSite(t)
	s.save("ingress.yaml", "# nothing\n")
	s.save("gateway.yaml", gatewayResources)
	s.save("grant.yaml", gatewayGrant)
	s.save("secret.yaml", secretFor(t, 1))
	s.run()
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	loads := make(chan call.Result, 2)
	for _, url := range []string{"http://" + s.http + "/", "https://" + s.https + "/"} {
		go func() {
			result, err := call.Run(ctx, call.Config{
				URL: strings.Replace(url, "127.0.0.1", "steady.localhost", 1), Requests: 1_000_000, Concurrency: 2, Insecure: true,
			})
			if err != nil {
				t.Error(err)
			}
			loads <- result
		}()
	}
	for turn := range int64(5) {
		if err := os.Remove(filepath.Join(s.dir, "grant.yaml")); err != nil {
			t.Fatal(err)
		}
		s.eventually("a withdrawn grant", func() bool { return s.movingStatus() == 500 })
		s.save("secret.yaml", secretFor(t, turn+2))
		s.eventually("the new certificate", func() bool { return s.serial() == turn+2 })
		s.save("grant.yaml", gatewayGrant)
		s.eventually("the grant", func() bool { return s.movingStatus() == 200 })
	}
	cancel()
	for range 2 {
		result := <-loads
		if result.Errors > 0 || result.ByStatus["200"] != result.Requests || result.Requests < 100 {
			t.Errorf("%d requests, by status %v, %d errors: %v", result.Requests, result.ByStatus, result.Errors, result.FirstError)
		}
	}
}

func (s *site) eventually(what string, holds func() bool) {
	s.t.Helper()
	for !holds() {
		if s.ctx.Err() != nil {
			s.t.Fatalf("%s did not come:\n%s", what, s.out)
		}
	}
}
