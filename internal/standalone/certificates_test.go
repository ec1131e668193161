package standalone

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"windrose.dev/windrose/internal/source"
)

// ingressOf returns an Ingress with rules for ruleHosts and the tls entries.
func ingressOf(name string, ruleHosts []string, entries ...networkingv1.IngressTLS) *networkingv1.Ingress {
	ingress := &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: networkingv1.IngressSpec{TLS: entries}}
	for _, host := range ruleHosts {
		ingress.Spec.Rules = append(ingress.Spec.Rules, networkingv1.IngressRule{Host: host})
	}
	return ingress
}

func entry(secret string, hosts ...string) networkingv1.IngressTLS {
	return networkingv1.IngressTLS{SecretName: secret, Hosts: hosts}
}

func TestWantedSecrets(t *testing.T) {
	tests := []struct {
		name string
		set  *source.Set
		want map[string][]string
	}{
		{
			"tls hosts", setOf(t, ingressOf("i", []string{"c.example"}, entry("s", "b.example", "a.example"))),
			map[string][]string{"s": {"a.example", "b.example"}},
		},
		{
			"rule hosts", setOf(t, ingressOf("i", []string{"c.example", "", "*.d.example"}, entry("s"))),
			map[string][]string{"s": {"*.d.example", "c.example"}},
		},
		{"no host", setOf(t, ingressOf("i", nil, entry("s"))), map[string][]string{"s": {"localhost"}}},
		{"not a name", setOf(t, ingressOf("i", nil, entry("s", "ü.example", "a b"))), map[string][]string{"s": {"localhost"}}},
		{
			"shipped", setOf(t, ingressOf("i", nil, entry("s", "a.example")), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s"}}),
			map[string][]string{},
		},
		{"no secret named", setOf(t, ingressOf("i", nil, entry("", "a.example"))), map[string][]string{}},
		{
			"two entries, one secret", setOf(t, ingressOf("i", nil, entry("s", "a.example")), ingressOf("j", nil, entry("s", "b.example", "a.example"))),
			map[string][]string{"s": {"a.example", "b.example"}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := map[string][]string{}
			for _, w := range wantedSecrets(tt.set) {
				got[w.name.Name] = w.hosts
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSecretsVerify(t *testing.T) {
	h := New(Config{})
	out := h.Reconcile(setOf(t, ingressOf("web", nil, entry("a", "x.example"), entry("b", "*.y.example"))))
	if diff := cmp.Diff([]string{"CertificateGenerated spec.tls[0].secretName", "CertificateGenerated spec.tls[1].secretName"}, codesOf(out.Reports)); diff != "" {
		t.Error(diff)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(h.CAPEM()) {
		t.Fatal("CAPEM holds no certificate")
	}
	for secret, host := range map[string]string{"a": "x.example", "b": "www.y.example"} {
		value := out.Secrets.Get("shop", secret).Value
		pair, err := tls.X509KeyPair(value.Data["tls.crt"], value.Data["tls.key"])
		if err != nil || value.Type != corev1.SecretTypeTLS {
			t.Fatalf("secret %s of type %s: %v", secret, value.Type, err)
		}
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: roots}); err != nil {
			t.Errorf("secret %s: %v", secret, err)
		}
	}
}

func TestSecretsAreStable(t *testing.T) {
	ca, err := newAuthority()
	if err != nil {
		t.Fatal(err)
	}
	s := &issuer{authority: ca}
	start := time.Now()
	cert := func(after time.Duration, hosts ...string) []byte {
		objects, _ := s.secrets(setOf(t, ingressOf("web", nil, entry("a", hosts...))), start.Add(after))
		return objects[0].Value.Data["tls.crt"]
	}
	first := cert(0, "x.example")
	tests := []struct {
		name  string
		after time.Duration
		hosts []string
		same  bool
	}{
		{"a reload", time.Hour, []string{"x.example"}, true},
		{"other hosts", time.Hour, []string{"y.example"}, false},
		{"its last third", leafLifetime - renewBefore + time.Hour, []string{"x.example"}, false},
	}
	for _, tt := range tests {
		s.secrets(setOf(t), start)
		s.issued = map[source.Name]issuedSecret{{Namespace: "shop", Name: "a"}: {
			hosts: []string{"x.example"}, until: start.Add(leafLifetime - renewBefore), content: map[string][]byte{"tls.crt": first},
		}}
		if same := bytes.Equal(first, cert(tt.after, tt.hosts...)); same != tt.same {
			t.Errorf("%s: the same certificate: %t, want %t", tt.name, same, tt.same)
		}
	}
}

func TestAuthorityIsKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	first, second := New(Config{StateDir: dir}), New(Config{StateDir: dir})
	if first.CAPEM() == nil || !bytes.Equal(first.CAPEM(), second.CAPEM()) {
		t.Errorf("the second run has another authority")
	}
	for _, name := range []string{"ca.crt", "ca.key"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if bytes.Equal(first.CAPEM(), New(Config{}).CAPEM()) {
		t.Error("a run without a directory has the same authority")
	}
}

func TestAuthorityThatCannotBeLoadedEndsTheRun(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "ca.crt"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	h := New(Config{StateDir: dir})
	out := h.Reconcile(setOf(t, ingressOf("web", nil, entry("a", "x.example"))))
	if out.Secrets.Len() != 0 || h.CAPEM() != nil {
		t.Error("a certificate was made")
	}
	if err := h.Run(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Run returned %v", err)
	}
}
