package standalone

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
	"windrose.dev/windrose/internal/source/dir"
)

const (
	tlsIngress = `apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web, namespace: shop}
spec:
  tls: [{hosts: [a.localhost], secretName: web-tls}]
  defaultBackend: {service: {name: web, port: {number: 80}}}
`
	goodSecret = `apiVersion: v1
kind: Secret
metadata: {name: web-tls, namespace: shop}
type: kubernetes.io/tls
data: {tls.crt: YQ==, tls.key: YQ==}
`
)

// A Secret is made only if the user has not written it, whether valid or broken.
func TestShippedSecretsAreNotMade(t *testing.T) {
	broken := strings.Replace(goodSecret, "YQ==", `"!!"`, 1)
	unparsable := strings.Replace(goodSecret, "{tls.crt", "[tls.crt", 1)
	type step struct {
		text string // of secret.yaml; "" means that there is no such file
		want string // made, shipped or nothing
	}
	tests := []struct {
		name  string
		steps []step
	}{
		{"not shipped", []step{{"", "made"}}},
		{"good", []step{{goodSecret, "shipped"}}},
		{"broken", []step{{broken, "nothing"}}},
		{"an unknown field", []step{{goodSecret + "dta: {}\n", "nothing"}}},
		{"no YAML", []step{{unparsable, "nothing"}}},
		{"its name cannot be read", []step{{strings.Replace(goodSecret, "metadata", "metadat", 1), "nothing"}}},
		{"no YAML, and another secret", []step{{strings.ReplaceAll(unparsable, "web-tls", "other"), "made"}}},
		{"no YAML, and no secret", []step{{"kind: Service\nmetadata: [web-tls", "made"}}},
		{"good, then broken", []step{{goodSecret, "shipped"}, {broken, "shipped"}, {unparsable, "shipped"}}},
		{"made, then broken, then mended", []step{{"", "made"}, {broken, "nothing"}, {goodSecret, "shipped"}}},
		{"made, and stays while a text cannot be read", []step{{"", "made"}, {unparsable, "made"}}},
		{"broken, then gone", []step{{broken, "nothing"}, {"", "made"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			folder := t.TempDir()
			saveText(t, filepath.Join(folder, "ingress.yaml"), tlsIngress)
			loader := dir.NewLoader(dir.Config{Dirs: []string{folder}})
			h := New(Config{})
			for i, s := range tt.steps {
				saveText(t, filepath.Join(folder, "secret.yaml"), s.text)
				out, _ := h.WithCertificates(loader.Load())
				if got := kindOfSecret(out.Secrets.Get("shop", "web-tls")); got != s.want {
					t.Errorf("step %d: %s, want %s; reports %v", i, got, s.want, out.Reports)
				}
				if s.want == "nothing" && reason.Count(out.Reports, reason.Error) == 0 {
					t.Errorf("step %d: nobody says why", i)
				}
			}
		})
	}
}

// The Report names the place that may hold the Secret.
func TestReportOfAnUnreadSecret(t *testing.T) {
	folder := t.TempDir()
	saveText(t, filepath.Join(folder, "ingress.yaml"), tlsIngress)
	saveText(t, filepath.Join(folder, "secret.yaml"), strings.Replace(goodSecret, "{tls.crt", "[tls.crt", 1))
	out, _ := New(Config{}).WithCertificates(dir.NewLoader(dir.Config{Dirs: []string{folder}}).Load())
	want := "Secret shop/web-tls may stand in " + filepath.Join(folder, "secret.yaml") + ":5, which cannot be read"
	for _, r := range out.Reports {
		if r.Code == reason.SecretNotFound && strings.HasPrefix(r.Message, want) && r.Fix == "mend the error reported there" {
			return
		}
	}
	t.Errorf("no report says %q: %v", want, out.Reports)
}

// saveText writes a file, or removes it if text is empty.
func saveText(t *testing.T, file, text string) {
	t.Helper()
	if text == "" {
		os.Remove(file)
		return
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func kindOfSecret(secret *source.Object[corev1.Secret]) string {
	switch {
	case secret == nil:
		return "nothing"
	case secret.Value.Labels["app.kubernetes.io/managed-by"] == managedBy:
		return "made"
	}
	return "shipped"
}

// An unreadable file may hold any Secret.
func TestUnreadableFileMayHoldASecret(t *testing.T) {
	unread := &unreadTexts{
		places: []reason.Origin{{File: filepath.Join(t.TempDir(), "gone.yaml"), Line: 3}},
		texts:  map[string][]byte{},
	}
	if at, found := unread.mayHold(source.Name{Namespace: "shop", Name: "s"}); !found || at.Line != 3 {
		t.Errorf("%v, %t", at, found)
	}
}
