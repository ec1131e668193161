package ingress

import (
	"testing"
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
		if row, _ := lookup(Prefix + name); !row.Guard {
			t.Errorf("%s must guard", name)
		}
	}
}

func TestGuards(t *testing.T) {
	for annotation, want := range map[[2]string]bool{
		{"auth-url", "http://x"}: true, {"auth-url", " "}: false,
		{"limit-rps", "0"}: false, {"limit-rps", "5"}: true,
		{"backend-protocl", "HTTPS"}: true, {"backend-protocol", "HTTPS"}: false,
		{"proxy-ssl-verfy", "on"}: true, {"proxy-ssl-verfy", "off"}: false, {"proxy-ssl-secert", "a/b"}: true,
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

// TestGuardsNearby: a guard's name with a wrong letter or two, or in another case, still
// guards; so does one under a misspelled prefix, and a name of another controller that is
// evidently a guard.
func TestGuardsNearby(t *testing.T) {
	for annotation, want := range map[[2]string]bool{
		{Prefix + "Auth-URL", "x"}:                                     true,
		{Prefix + "auth-ur", "x"}:                                      true,
		{Prefix + "uath-url", "x"}:                                     true,
		{Prefix + "whitelist-source-rage", "x"}:                        true,
		{Prefix + "enable-modsecurty", "true"}:                         true,
		{Prefix + "enable-modsecurty", "false"}:                        false,
		{Prefix + "Limit-RPS", "0"}:                                    false,
		{Prefix + "satsify", "any"}:                                    true,
		{Prefix + "ssl-passtrough", "true"}:                            true,
		{Prefix + "configuration-snipet", "add_header A b;"}:           false,
		{Prefix + "configuration-snipet", "deny all;"}:                 true,
		{Prefix + "rewrite-tarjet", "/"}:                               false,
		{Prefix + "frobnicate", "x"}:                                   false,
		{"nginx.ingres.kubernetes.io/auth-url", "x"}:                   true,
		{"Nginx.Ingress.Kubernetes.io/auth-url", "x"}:                  true,
		{"ingress.kubernetes.io/auth-type", "basic"}:                   true,
		{"nginx.org/policies", "jwt"}:                                  true,
		{"nginx.org/server-snippets", "deny all;"}:                     true,
		{"nginx.org/server-snippets", "add_header A b;"}:               false,
		{"nginx.org/client-max-body-size", "4m"}:                       false,
		{"haproxy.org/allow-list", "10.0.0.0/8"}:                       true,
		{"haproxy.org/rate-limit-requests", "10"}:                      true,
		{"haproxy.org/load-balance", "leastconn"}:                      false,
		{"haproxy-ingress.github.io/whitelist-source-range", "x"}:      true,
		{"haproxy-ingress.github.io/waf", "modsecurity"}:               true,
		{"traefik.ingress.kubernetes.io/router.middlewares", "a@file"}: true,
		{"traefik.ingress.kubernetes.io/router.entrypoints", "web"}:    false,
		{"konghq.com/plugins", "key-auth"}:                             true,
		{"konghq.com/strip-path", "true"}:                              false,
		{"alb.ingress.kubernetes.io/auth-type", "cognito"}:             true,
		{"alb.ingress.kubernetes.io/auth-type", "none"}:                false,
		{"alb.ingress.kubernetes.io/wafv2-acl-arn", "x"}:               true,
		{"alb.ingress.kubernetes.io/inbound-cidrs", "10.0.0.0/8"}:      true,
		{"alb.ingress.kubernetes.io/scheme", "internal"}:               false,
		{"example.com/auth-url", "x"}:                                  false,
		{"auth-url", "x"}:                                              false,
		{"cert-manager.io/cluster-issuer", "auth"}:                     false,
	} {
		if got := Guards("Ingress", map[string]string{annotation[0]: annotation[1]}); got != want {
			t.Errorf("%v: got %t", annotation, got)
		}
	}
}

func TestCanonicalPath(t *testing.T) {
	for in, want := range map[string]string{
		"/": "/", "/a//b": "/a/b", "/a b": "/a%20b", "/é": "/%C3%A9", "/%7e%2f": "/~/", "/%40me/%2fa": "/@me/a", "/100%": "/100%25",
		"/a;b=c,d@e:f!$&'()*+": "/a;b=c,d@e:f!$&'()*+", "/a?b": "/a%3Fb", "/a.b/..c": "/a.b/..c", "/[x]": "/%5Bx%5D",
	} {
		if got, ok := blockForm.CanonicalPath(in); got != want || !ok {
			t.Errorf("%s: got %s %t", in, got, ok)
		}
	}
	for _, in := range []string{"/a/../b", "/.", "/a/%2e%2e/b"} {
		if got, ok := blockForm.CanonicalPath(in); ok {
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

// TestBackendProtocols: an unsupported protocol closes; an empty value has no effect.
func TestBackendProtocols(t *testing.T) {
	for value, want := range map[string]struct {
		protocol string
		closes   bool
	}{
		"": {"HTTP", false}, "http": {"HTTP", false}, "Https": {"HTTPS", false}, "GRPC": {"GRPC", false}, "grpcs": {"GRPCS", false},
		"FCGI": {"HTTP", true}, "AUTO_HTTP": {"HTTP", true}, "HTTP2": {"HTTP", true},
	} {
		s := defaultSettings()
		if err := s.setProtocol(value); s.upstream.protocol != want.protocol || (s.closedBy != "") != want.closes || (err != nil) != want.closes {
			t.Errorf("%q: %+v, closed by %q, %v", value, s.upstream, s.closedBy, err)
		}
	}
	for value, want := range map[string]bool{"": false, "off": false, "on": true, "true": true, "no": true} {
		s := defaultSettings()
		if s.setVerify(value); s.upstream.verify != want {
			t.Errorf("%q: verified %v", value, s.upstream.verify)
		}
	}
}
