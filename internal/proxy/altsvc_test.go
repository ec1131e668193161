package proxy_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy"
	"windrose.dev/windrose/internal/proxy/settings"
	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/test/port"
)

// altSvc asks over TLS, by HTTP/1.1 or HTTP/2, and returns Alt-Svc.
func (r *rig) altSvc(path string, http2 bool) string {
	r.t.Helper()
	return r.altSvcBehind("", path, http2)
}

// altSvcBehind is altSvc through a balancer that sends a header first.
func (r *rig) altSvcBehind(header, path string, http2 bool) string {
	r.t.Helper()
	transport := &http.Transport{
		ForceAttemptHTTP2: http2, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			conn, err := net.Dial("tcp", r.addr(443))
			return &sendingProxyHeader{conn, []byte(header)}, err
		},
	}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(patientContext(r.t), "GET", "https://a.example"+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	answer, err := transport.RoundTrip(req)
	if err != nil {
		r.t.Fatal(err)
	}
	answer.Body.Close()
	if (answer.ProtoMajor == 2) != http2 {
		r.t.Fatal(answer.Proto)
	}
	return strings.Join(answer.Header.Values("Alt-Svc"), "|")
}

// TestAltSvc: where HTTP/3 is spoken, answers over TLS say so (RFC 7838 §3), in
// the place of what the backend says, and not of what the rule says.
func TestAltSvc(t *testing.T) {
	b := newBackend(t, always("HTTP/1.1 200 OK\r\nalt-svc: h3=\":9\"\r\nContent-Length: 2\r\n\r\nok"))
	parts := tlsRule(t, b.addr, map[string]keyPair{"*": newKeyPair(t, "x")}).Parts
	block := &parts.Config.Hosts[0].Blocks[0]
	own := block.Rules[0]
	own.ID, own.Path.Value = "own", "/own"
	own.Filters = model.Filters{&model.Edit{Response: &model.HeaderEdit{Set: []model.Header{{Name: "Alt-Svc", Value: "clear"}}}}}
	block.Rules = append(block.Rules, own)
	with, without := newRig3(t, nil), limited(t, func(l *settings.Limits) { l.HTTP3 = false })
	for _, r := range []*rig{with, without} {
		r.applySnapshot(freeze(parts))
	}
	_, number, _ := net.SplitHostPort(with.addr(443))
	for _, http2 := range []bool{false, true} {
		for path, want := range map[string][2]string{
			"/":    {`h3=":` + number + `"; ma=86400`, `h3=":9"`},
			"/own": {"clear", "clear"},
		} {
			if got := with.altSvc(path, http2); got != want[0] {
				t.Errorf("%s, HTTP/2 %v: %q, want %q", path, http2, got, want[0])
			}
			if got := without.altSvc(path, http2); got != want[1] {
				t.Errorf("%s, HTTP/2 %v, without HTTP/3: %q, want %q", path, http2, got, want[1])
			}
		}
	}
	if got := fieldOf(with.ask(get("/")), "Alt-Svc"); got != `h3=":9"` {
		t.Errorf("in plain text: %q", got)
	}
	c := with.client3(nil)
	if _, _, answer := c.do(c.request("GET", "/", nil)); answer.Header.Get("Alt-Svc") != "" {
		t.Errorf("over HTTP/3: %q", answer.Header.Get("Alt-Svc"))
	}
}

// TestAltSvcBehindABalancer: clients of a balancer are not sent to our port of
// UDP, which they cannot reach, and neither to the backend's.
func TestAltSvcBehindABalancer(t *testing.T) {
	b := newBackend(t, always("HTTP/1.1 200 OK\r\nAlt-Svc: h3=\":9\"\r\nContent-Length: 2\r\n\r\nok"))
	r := newRig3(t, func(cfg *proxy.Config) {
		cfg.ProxyProtocolFrom = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	r.applySnapshot(tlsRule(t, b.addr, map[string]keyPair{"*": newKeyPair(t, "x")}))
	for _, header := range []string{proxyHeader, "PROXY UNKNOWN\r\n"} {
		for _, http2 := range []bool{false, true} {
			if got := r.altSvcBehind(header, "/", http2); got != "" {
				t.Errorf("%q, HTTP/2 %v: %q", header, http2, got)
			}
		}
	}
}

// TestTakenUDPPort: TCP goes on, a Report names the flag, and nothing is
// promised; once the port is free, the same Snapshot has HTTP/3 served.
func TestTakenUDPPort(t *testing.T) {
	address := "127.0.0.1:" + port.Free(t)
	taken, err := net.ListenPacket("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	b := newBackend(t, always(ok2))
	r := newRig3(t, func(cfg *proxy.Config) {
		others := cfg.Address
		cfg.Address = func(l model.Listener) string {
			if l.ID.Port == 443 {
				return address
			}
			return others(l)
		}
	})
	s := tlsRule(t, b.addr, map[string]keyPair{"*": newKeyPair(t, "x")})
	for range 2 {
		reports, err := r.proxy.Apply(s)
		if err != nil || len(reports) != 1 || reports[0].Code != reason.HTTP3Unavailable || !strings.Contains(reports[0].String(), "--http3=false") {
			t.Fatalf("%v %v", reports, err)
		}
	}
	if got := r.altSvc("/", true); got != "" {
		t.Errorf("promised %q", got)
	}
	if got := r.proxy.WithoutHTTP3(); len(got) != 1 || got[0] != address {
		t.Errorf("%q", got)
	}
	taken.Close()
	r.applySnapshot(s)
	if got := r.altSvc("/", true); got == "" {
		t.Error("nothing is promised")
	}
	if status, body := r.client3(nil).get("/"); status != 200 || body != "ok" {
		t.Errorf("%d %q", status, body)
	}
	if got := r.proxy.WithoutHTTP3(); len(got) != 0 {
		t.Errorf("%q", got)
	}
}

// TestHTTP3ComesAndGoes: the UDP port is open as long as TCP's is, and free
// afterwards.
func TestHTTP3ComesAndGoes(t *testing.T) {
	b := newBackend(t, always(ok2))
	r := newRig3(t, nil)
	with := tlsRule(t, b.addr, map[string]keyPair{"*": newKeyPair(t, "x")})
	parts := with.Parts
	parts.Config.Listeners = append([]model.Listener(nil), parts.Config.Listeners[:1]...)
	hosts := append([]model.Host(nil), parts.Config.Hosts...)
	hosts[0].Listeners = hosts[0].Listeners[:1]
	parts.Config.Hosts = hosts
	without := freeze(parts)
	for range 3 {
		r.applySnapshot(with)
		address := r.addr(443)
		c := r.client3(nil)
		if status, _ := c.get("/"); status != 200 {
			t.Fatal(status)
		}
		r.applySnapshot(without)
		eventually(t, "the port is free", func() bool {
			l, err := net.ListenPacket("udp", address)
			if err == nil {
				l.Close()
			}
			return err == nil
		})
	}
}
