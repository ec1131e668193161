package translate

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
	"windrose.dev/windrose/internal/source/dir"
)

// rotateBase reads Secrets for all that they are read for: shop/web for hosts of an
// Ingress and of a Gateway, other/edge for one of another namespace, shop/client for
// backends of an Ingress with its authorities, shop/identity for those of a Gateway,
// shop/ca for authorities alone, shop/gone, which is not there at first. Nothing may read
// other/hidden, and nothing reads shop/nobody.
const rotateBase = `apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web, namespace: shop}
spec:
  tls:
  - {hosts: [a.test, "*.a.test"], secretName: web}
  - {hosts: [gone.test], secretName: gone}
  rules:
  - {host: a.test, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: front, port: {number: 80}}}}]}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: pay
  namespace: shop
  annotations:
    nginx.ingress.kubernetes.io/backend-protocol: HTTPS
    nginx.ingress.kubernetes.io/proxy-ssl-secret: shop/client
    nginx.ingress.kubernetes.io/proxy-ssl-verify: "on"
    nginx.ingress.kubernetes.io/proxy-ssl-name: pay.test
spec:
  rules:
  - {host: pay.test, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: front, port: {number: 80}}}}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: windrose}
spec: {controllerName: windrose.dev/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop}
spec:
  gatewayClassName: windrose
  tls: {backend: {clientCertificateRef: {name: identity}}}
  listeners:
  - {name: a, port: 8443, protocol: HTTPS, hostname: a.test, tls: {certificateRefs: [{name: web}]}}
  - {name: b, port: 8443, protocol: HTTPS, hostname: b.test, tls: {certificateRefs: [{name: edge, namespace: other}]}}
  - {name: c, port: 8443, protocol: HTTPS, hostname: c.test, tls: {certificateRefs: [{name: hidden, namespace: other}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: front, namespace: shop}
spec:
  parentRefs: [{name: edge}]
  rules: [{backendRefs: [{name: secure, port: 443}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: secure, namespace: shop}
spec:
  targetRefs: [{group: "", kind: Service, name: secure}]
  validation: {hostname: secure.test, caCertificateRefs: [{group: "", kind: Secret, name: ca}]}
---
apiVersion: v1
kind: Service
metadata: {name: front, namespace: shop}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: secure, namespace: shop}
spec: {ports: [{name: https, port: 443}]}
`

const rotateGrant = `apiVersion: gateway.networking.k8s.io/v1
kind: ReferenceGrant
metadata: {name: edge, namespace: other}
spec:
  from: [{group: gateway.networking.k8s.io, kind: Gateway, namespace: shop}]
  to: [{group: "", kind: Secret, name: edge}]
`

// keyPair is a certificate and its key, as PEM.
type keyPair struct{ chain, key []byte }

func mint(t testing.TB, names ...string) keyPair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: names, NotAfter: time.Now().Add(time.Hour)}
	chain, err := x509.CreateCertificate(crand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return keyPair{
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: chain}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}),
	}
}

// rotation is a Set whose Secrets change.
type rotation struct {
	// configs have no Secrets. The first is the usual; in the second an endpoint has
	// moved, and in the third nothing lets a Gateway use other/edge.
	configs []*source.Set
	config  int
	secrets map[source.Name]*source.Object[corev1.Secret]
	// pairs are of the names that are asked for, others of other names.
	pairs, others []keyPair
	drawn         int
}

func newRotation(t testing.TB) *rotation {
	w := &rotation{secrets: map[source.Name]*source.Object[corev1.Secret]{}}
	for range 3 {
		w.pairs = append(w.pairs, mint(t, "a.test", "*.a.test", "b.test", "c.test", "gone.test"), mint(t, "gone.test", "c.test", "B.test", "*.a.test", "a.test"))
		w.others = append(w.others, mint(t, "z.test"))
	}
	folder := t.TempDir()
	loader := dir.NewLoader(dir.Config{Dirs: []string{folder}, Guards: Guards, Settle: time.Millisecond})
	for _, files := range []map[string]string{
		{"base.yaml": rotateBase, "grant.yaml": rotateGrant, "slice.yaml": strings.Replace(overSlice, "ADDRESS", "10.0.0.1", 1)},
		{"slice.yaml": strings.Replace(overSlice, "ADDRESS", "10.0.0.2", 1)},
		{"grant.yaml": ""},
	} {
		for name, text := range files {
			if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		w.configs = append(w.configs, loader.Load())
	}
	for _, name := range []string{"shop/web", "shop/client", "shop/identity", "shop/ca", "shop/nobody", "other/edge", "other/hidden"} {
		w.edit(name, "added")
	}
	return w
}

// draw returns the next of some pairs.
func (w *rotation) draw(all []keyPair) keyPair {
	w.drawn++
	return all[w.drawn%len(all)]
}

func (w *rotation) set() *source.Set {
	set := *w.configs[w.config]
	set.Secrets = source.NewIndex(slices.Collect(maps.Values(w.secrets)))
	return &set
}

// edits are what may become of a Secret that is there. They get a copy, whose Value they
// may replace; without one the Secret is removed.
var edits = map[string]func(*rotation, *source.Object[corev1.Secret]){
	"read anew":         func(*rotation, *source.Object[corev1.Secret]) {},
	"moved by a line":   func(_ *rotation, o *source.Object[corev1.Secret]) { o.Origin.Line++ },
	"removed":           func(_ *rotation, o *source.Object[corev1.Secret]) { o.Value = nil },
	"rotated":           func(w *rotation, o *source.Object[corev1.Secret]) { show(o, w.draw(w.pairs)) },
	"other names":       func(w *rotation, o *source.Object[corev1.Secret]) { show(o, w.draw(w.others)) },
	"broken":            func(_ *rotation, o *source.Object[corev1.Secret]) { o.Value.Data["tls.crt"] = []byte("none") },
	"a key that is not": func(w *rotation, o *source.Object[corev1.Secret]) { o.Value.Data["tls.key"] = w.draw(w.others).key },
	"keys renamed":      func(_ *rotation, o *source.Object[corev1.Secret]) { rename(o, "tls.crt", "cert.pem") },
	"another type":      func(_ *rotation, o *source.Object[corev1.Secret]) { o.Value.Type = corev1.SecretTypeOpaque },
	"a label":           func(_ *rotation, o *source.Object[corev1.Secret]) { o.Value.Labels = map[string]string{"a": "b"} },
	"other authorities": func(w *rotation, o *source.Object[corev1.Secret]) { o.Value.Data["ca.crt"] = w.draw(w.others).chain },
	"no authorities":    func(_ *rotation, o *source.Object[corev1.Secret]) { delete(o.Value.Data, "ca.crt") },
	"no pair": func(_ *rotation, o *source.Object[corev1.Secret]) {
		delete(o.Value.Data, "tls.crt")
		delete(o.Value.Data, "tls.key")
	},
	"another key besides": func(_ *rotation, o *source.Object[corev1.Secret]) { o.Value.Data["auth"] = []byte("a:b") },
}

func show(o *source.Object[corev1.Secret], pair keyPair) {
	o.Value.Data["tls.crt"], o.Value.Data["tls.key"] = pair.chain, pair.key
}

func rename(o *source.Object[corev1.Secret], from, to string) {
	o.Value.Data[to] = o.Value.Data[from]
	delete(o.Value.Data, from)
}

// edit does one of edits to a Secret, or adds it where it is not there.
func (w *rotation) edit(secret, what string) {
	namespace, name, _ := strings.Cut(secret, "/")
	at := source.Name{Namespace: namespace, Name: name}
	now := source.Object[corev1.Secret]{Origin: reason.Origin{Kind: "Secret", Namespace: namespace, Name: name, File: "secrets.yaml", Line: 7}}
	if was := w.secrets[at]; was == nil {
		now.Value = &corev1.Secret{Type: corev1.SecretTypeTLS, Data: map[string][]byte{"ca.crt": w.others[0].chain}}
		show(&now, w.draw(w.pairs))
	} else {
		now = *was
		if what != "moved by a line" { // a Loader shares what it has read
			now.Value = was.Value.DeepCopy()
		}
		edits[what](w, &now)
	}
	if w.secrets[at] = &now; now.Value == nil {
		delete(w.secrets, at)
	}
}

// checkOver reports what is another in a Result than in that of a Build.
func checkOver(t *testing.T, what string, got, want Result) {
	t.Helper()
	if got.Snapshot.Root != want.Snapshot.Root || model.Format(got.Snapshot) != model.Format(want.Snapshot) {
		t.Errorf("%s: another Snapshot\n%s", what, cmp.Diff(model.Format(want.Snapshot), model.Format(got.Snapshot)))
	}
	if !reflect.DeepEqual(got.Snapshot.Secrets, want.Snapshot.Secrets) || !reflect.DeepEqual(got.Snapshot.Bundles, want.Snapshot.Bundles) {
		t.Errorf("%s: other key material", what)
	}
	if diff := cmp.Diff(want.Reports, got.Reports); diff != "" {
		t.Errorf("%s: other Reports\n%s", what, diff)
	}
	if diff := cmp.Diff(want.Status.String(), got.Status.String()); diff != "" {
		t.Errorf("%s: another status\n%s", what, diff)
	}
}

// sharesConfig reports whether a Snapshot has the configuration of another, rather than
// one like it.
func sharesConfig(a, b *model.Snapshot) bool {
	return &a.Config.Listeners[0] == &b.Config.Listeners[0]
}

// TestRotate: what comes of a changed Secret is what a Build makes of it, and the
// configuration is made anew only where the change may reach it.
func TestRotate(t *testing.T) {
	const kept, anew = true, false
	for _, s := range []struct {
		secret, edits string
		kept          bool
	}{
		{"shop/web", "rotated", kept},
		{"shop/web", "read anew", kept},
		{"shop/web", "moved by a line", kept},
		{"shop/web", "a label", kept},
		{"shop/web", "another type", kept},
		{"shop/web", "another key besides", kept},
		{"shop/web", "other authorities", kept},
		{"shop/web", "other names", anew},
		{"shop/web", "broken", anew},
		{"shop/web", "broken, rotated", anew},
		{"shop/web", "broken, moved by a line", anew},
		{"shop/web", "broken, rotated, rotated", kept},
		{"shop/web", "a key that is not", anew},
		{"shop/web", "keys renamed", anew},
		{"shop/web", "removed", anew},
		{"shop/web", "removed, rotated", anew},
		{"other/edge", "rotated", kept},
		{"other/edge", "removed", anew},
		{"shop/client", "rotated", kept},
		{"shop/client", "other names", kept},
		{"shop/client", "other authorities", anew},
		{"shop/client", "no authorities", anew},
		{"shop/client", "no pair", anew},
		{"shop/identity", "other names", kept},
		{"shop/identity", "a key that is not", anew},
		{"shop/ca", "rotated", kept},
		{"shop/ca", "no pair", kept},
		{"shop/ca", "other authorities", anew},
		{"shop/ca", "removed", anew},
		{"shop/gone", "added", anew},
		{"shop/nobody", "broken", kept},
		{"shop/nobody", "removed", kept},
		{"shop/nobody", "removed, added", kept},
		{"other/hidden", "rotated", kept},
		{"other/hidden", "removed", kept},
	} {
		w := newRotation(t)
		last := Build(w.set(), Options{})
		var before *model.Snapshot
		for what := range strings.SplitSeq(s.edits, ", ") {
			w.edit(s.secret, what)
			before, last = last.Snapshot, BuildOver(w.set(), Options{}, &last)
		}
		what := s.secret + ", " + s.edits
		checkOver(t, what, last, Build(w.set(), Options{}))
		if kept := sharesConfig(last.Snapshot, before); kept != s.kept {
			t.Errorf("%s: the configuration was kept: %t", what, kept)
		}
	}
}

// TestRotateAtRandom: whatever becomes of Secrets, together and in whatever order, beside
// an endpoint that moves and a grant that goes, a Set that is built over the last comes to
// what it comes to alone.
func TestRotateAtRandom(t *testing.T) {
	secrets := []string{"shop/web", "shop/client", "shop/identity", "shop/ca", "shop/gone", "shop/nobody", "other/edge", "other/hidden"}
	whats := slices.Sorted(maps.Keys(edits))
	w, r := newRotation(t), rand.New(rand.NewPCG(1, 2))
	last, kept := Build(w.set(), Options{}), 0
	for step := range 2000 {
		var done []string
		for range 1 + r.IntN(2) {
			secret, what := pick(r, secrets), pick(r, whats)
			if r.IntN(2) == 0 {
				what = "rotated" // repairs, too
			}
			w.edit(secret, what)
			done = append(done, secret+" "+what)
		}
		if r.IntN(8) == 0 {
			w.config = r.IntN(len(w.configs))
		}
		got := BuildOver(w.set(), Options{}, &last)
		checkOver(t, fmt.Sprintf("step %d: %s", step, strings.Join(done, ", ")), got, Build(w.set(), Options{}))
		if sharesConfig(got.Snapshot, last.Snapshot) {
			kept++
		}
		if last = got; t.Failed() {
			return
		}
	}
	if kept < 500 || kept > 1500 {
		t.Errorf("the configuration was kept %d times of 2000", kept)
	}
}

func pick[T any](r *rand.Rand, all []T) T { return all[r.IntN(len(all))] }
