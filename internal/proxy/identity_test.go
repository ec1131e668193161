package proxy_test

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"windrose.dev/windrose/internal/proxy"
)

// spoofed is a request that says who its client is, in every way it can.
const spoofed = "GET / HTTP/1.1\r\nHost: a.example:99\r\nX-Request-ID: id\r\n" +
	"X-Forwarded-For: 6.6.6.6\r\nx-forwarded-for: 7.7.7.7\r\nX-Real-IP: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n" +
	"X-Forwarded-Host: evil\r\nX-Forwarded-Port: 1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Scheme: https\r\n" +
	"X-Forwarded-Prefix: /evil\r\nX-Scheme: https\r\nX-Original-Forwarded-For: 6.6.6.6\r\n" +
	"X-Forwarded-Client-Cert: evil\r\nX-Envoy-Internal: true\r\nX-Windrose-Identity: evil\r\n" +
	"X_Forwarded_For: 6.6.6.6\r\nX_Real-IP: 6.6.6.6\r\nx_envoy_internal: true\r\nContent_Length: 4\r\n" +
	"My_Header: kept\r\nConnection: X-Forwarded-For, X-Real-IP\r\n\r\n"

func TestIdentityOfUntrustedPeers(t *testing.T) {
	r, _ := serve(t, "", echo)
	_, port, _ := net.SplitHostPort(r.addr(80))
	c := r.dial()
	for range 2 { // the second time the identity is known already
		c.send(spoofed)
		_, got, _ := strings.Cut(c.answer("GET"), "\r\n\r\n")
		want := "GET / HTTP/1.1\r\nHost: a.example:99\r\nX-Request-ID: id\r\nMy_Header: kept\r\n" +
			"X-Forwarded-For: 127.0.0.1\r\nX-Real-IP: 127.0.0.1\r\nX-Forwarded-Port: " + port + "\r\n" +
			"X-Forwarded-Proto: http\r\nX-Forwarded-Scheme: http\r\nX-Scheme: http\r\nX-Forwarded-Host: a.example:99\r\n\r\n"
		if got != want {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	}
}

func TestIdentityOfTrustedPeers(t *testing.T) {
	b := newBackend(t, echo)
	r := newRig(t, func(cfg *proxy.Config) { cfg.Trusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	r.apply(rule("", b.addr))
	_, got, _ := strings.Cut(r.ask(spoofed), "\r\n\r\n")
	for field, want := range map[string]string{
		"X-Forwarded-For": "6.6.6.6, 7.7.7.7, 127.0.0.1", "X-Real-IP": "7.7.7.7", "X-Forwarded-Host": "evil",
		"X-Forwarded-Proto": "https", "X-Forwarded-Port": "1", "X_Forwarded_For": "", "x_envoy_internal": "",
		"X-Envoy-Internal": "true", "Forwarded": "for=6.6.6.6",
	} {
		if value := fieldOf(got, field); value != want {
			t.Errorf("%s: %q, want %q", field, value, want)
		}
	}
	_, got, _ = strings.Cut(r.ask(get("/")), "\r\n\r\n")
	_, port, _ := net.SplitHostPort(r.addr(80))
	for field, want := range map[string]string{
		"X-Forwarded-For": "127.0.0.1", "X-Real-IP": "127.0.0.1", "X-Forwarded-Host": "a.example",
		"X-Forwarded-Proto": "http", "X-Forwarded-Port": port,
	} {
		if value := fieldOf(got, field); value != want {
			t.Errorf("%s: %q, want %q", field, value, want)
		}
	}
}

func TestTLSRedirect(t *testing.T) {
	b := newBackend(t, always(ok2))
	r := newRig(t, func(cfg *proxy.Config) { cfg.Trusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")} })
	r.apply("listener 443 https\n" + rule("tls-redirect=308:443 plain=/.well-known", b.addr))
	_, port, _ := net.SplitHostPort(r.addr(443))
	for request, want := range map[string]string{
		"GET /a%2Fb/../c?q=1 HTTP/1.1\r\nHost: Shop.example:8080\r\n\r\n":                      "https://Shop.example:" + port + "/a%2Fb/../c?q=1",
		"GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n":                                                "https://[::1]:" + port + "/",
		"GET http://x.example:80?q HTTP/1.1\r\nHost: y\r\n\r\n":                                "https://x.example:" + port + "/?q",
		"POST / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\nContent-Length: 1\r\n\r\nx": "https://a:" + port + "/",
	} {
		got := r.ask(request)
		if statusOf(got) != 308 || fieldOf(got, "Location") != want || fieldOf(got, "Content-Length") != "0" {
			t.Errorf("%.30q: %q", request, got)
		}
	}
	for _, request := range []string{
		get("/.well-known/x"), get("/.well-known"),
		"GET / HTTP/1.0\r\n\r\n", // there is no host to send it to
	} {
		if got := r.ask(request); statusOf(got) != 200 {
			t.Errorf("%q: %q", request, got)
		}
	}
	if got := r.ask(get("/.well-knownx")); statusOf(got) != 308 {
		t.Errorf("%q", got)
	}
}

// TestHostileFields: what a client writes beside the usual fields must not
// reach a backend that reads it as something else.
func TestHostileFields(t *testing.T) {
	r, _ := serve(t, "", echo)
	ask := func(fields string) string {
		_, got, _ := strings.Cut(r.ask("GET / HTTP/1.1\r\nHost: a\r\n"+fields+"\r\n"), "\r\n\r\n")
		return got
	}
	// One twin that is nominated must not let the others pass.
	got := ask("Connection: content_length\r\nContent_Length: 0\r\nX_Forwarded_For: 6.6.6.6\r\nTransfer_Encoding: chunked\r\n")
	for _, name := range []string{"Content_Length", "X_Forwarded_For", "Transfer_Encoding"} {
		if fieldOf(got, name) != "" {
			t.Errorf("%s reached the backend: %q", name, got)
		}
	}
	if got := ask("Proxy: http://evil.example\r\n"); fieldOf(got, "Proxy") != "" {
		t.Errorf("Proxy reached the backend: %q", got)
	}
	if got := ask("X-Request-ID: a\r\nX-Request-ID: <b>\r\n"); strings.Contains(got, "<b>") {
		t.Errorf("a second request id reached the backend: %q", got)
	}
	for name, request := range map[string]string{
		"400 many names in Connection": "GET / HTTP/1.1\r\nHost: a\r\nConnection: " + strings.Repeat("a,", 100) + "b\r\n\r\n",
		"405 TRACE":                    "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n",
		"400 a name as IPv6":           "GET / HTTP/1.1\r\nHost: [a.test]\r\n\r\n",
		"400 no such port":             "GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n",
	} {
		if got := r.ask(request); !strings.HasPrefix(got, "HTTP/1.1 "+name[:3]) {
			t.Errorf("%s: %.80q", name, got)
		}
	}
}

// TestTrustedChain: the client's address is what the last trusted hop saw, not
// what the client wrote before it.
func TestTrustedChain(t *testing.T) {
	b := newBackend(t, echo)
	r := newRig(t, func(cfg *proxy.Config) {
		cfg.Trusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}
	})
	r.apply(rule("", b.addr))
	for chain, want := range map[string]string{
		"9.9.9.9": "9.9.9.9", "1.1.1.1, 9.9.9.9, 10.1.1.1": "9.9.9.9", "10.2.2.2, 10.1.1.1": "10.2.2.2",
		"nonsense, 10.1.1.1": "10.1.1.1", "9.9.9.9, nonsense": "127.0.0.1", "2001:db8::1": "2001:db8::1",
	} {
		_, got, _ := strings.Cut(r.ask("GET / HTTP/1.1\r\nHost: a\r\nX-Real-IP: 6.6.6.6\r\nX-Forwarded-For: "+chain+"\r\n\r\n"), "\r\n\r\n")
		if ip := fieldOf(got, "X-Real-IP"); ip != want {
			t.Errorf("%s: X-Real-IP %s, want %s", chain, ip, want)
		}
	}
}
