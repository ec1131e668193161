package ingress

import (
	"testing"

	"windrose.dev/windrose/internal/model"
)

func TestTableIsComplete(t *testing.T) {
	seen := map[string]bool{}
	for _, a := range Annotations() {
		if seen[a.Name] {
			t.Errorf("%s stands twice", a.Name)
		}
		seen[a.Name] = true
		if a.Group == "" || a.Risk == "" || a.Apply != nil && a.Doc == "" {
			t.Errorf("%s: group, risk and, where it is honoured, doc must be written", a.Name)
		}
	}
	for _, name := range []string{"auth-url", "auth-type", "auth-tls-secret", "satisfy", "limit-rps", "whitelist-source-range", "denylist-source-range", "enable-modsecurity", "ssl-passthrough"} {
		if !lookup(name).Guard {
			t.Errorf("%s must guard", name)
		}
	}
}

func TestGuards(t *testing.T) {
	for annotation, want := range map[[2]string]bool{
		{"auth-url", "http://x"}: true, {"auth-url", " "}: false,
		{"limit-rps", "0"}: false, {"limit-rps", "5"}: true,
		{"backend-protocol", "HTTPS"}: true, {"backend-protocol", "HTTP"}: false,
		{"authentication", "x"}: true, {"rewrite-target", "/"}: false, {"affinity", "cookie"}: false,
		{"configuration-snippet", "add_header X-Denied no;"}:              false,
		{"configuration-snippet", "deny all;"}:                            true,
		{"configuration-snippet", "auth_basic \"x\";"}:                    true,
		{"configuration-snippet", "if ($bad) {return 403;}"}:              true,
		{"configuration-snippet", "proxy_set_header X-Deny \"allowed\";"}: false,
		{"configuration-snippet", "include /etc/nginx/auth.conf;"}:        true,
		{"configuration-snippet", "# a note\nadd_header A b;\n"}:          false,
		{"server-snippet", "limit_req zone=a;"}:                           true,
		{"auth-snippet", "proxy_set_header A b;"}:                         true,
	} {
		if got := Guards("Ingress", map[string]string{Prefix + annotation[0]: annotation[1]}); got != want {
			t.Errorf("%v: got %t", annotation, got)
		}
	}
	if Guards("Service", map[string]string{Prefix + "auth-url": "x"}) || Guards("Ingress", map[string]string{"example.com/auth-url": "x"}) {
		t.Error("only annotations of ingress-nginx on an Ingress guard")
	}
}

func TestCanonicalPath(t *testing.T) {
	for in, want := range map[string]string{
		"/": "/", "/a//b": "/a/b", "/a b": "/a%20b", "/é": "/%C3%A9", "/%7e%2f": "/~%2F", "/100%": "/100%25",
		"/a;b=c,d@e:f!$&'()*+": "/a;b=c,d@e:f!$&'()*+", "/a?b": "/a%3Fb", "/a.b/..c": "/a.b/..c", "/[x]": "/%5Bx%5D",
	} {
		if got, ok := model.CanonicalPath(in); got != want || !ok {
			t.Errorf("%s: got %s %t", in, got, ok)
		}
	}
	for _, in := range []string{"/a/../b", "/.", "/a/%2e%2e/b"} {
		if got, ok := model.CanonicalPath(in); ok {
			t.Errorf("%s became %s", in, got)
		}
	}
}

func TestSizes(t *testing.T) {
	for in, want := range map[string]int64{"0": 0, "10": 10, "4k": 4096, "8M": 8 << 20, "1g": 1 << 30, "5b": 5} {
		var got int64
		if err := setSize(&got, in); err != nil || got != want {
			t.Errorf("%s: %d %v", in, got, err)
		}
	}
	for _, in := range []string{"", "-1", "1.5m", "8mb", "9999999999999g"} {
		var got int64
		if setSize(&got, in) == nil {
			t.Errorf("%s was accepted as %d", in, got)
		}
	}
}
