package proxy_test

import (
	"crypto/tls"
	"net"
	"strings"
	"testing"

	"windrose.dev/windrose/internal/model"
)

// TestHTTP3Misdirected: the rules for hosts of other listeners hold over HTTP/3
// (see TestMisdirectedRequests).
func TestHTTP3Misdirected(t *testing.T) {
	b := newBackend(t, echo)
	parts := tlsRule(t, b.addr, map[string]keyPair{"*": newKeyPair(t, "x")}).Parts
	parts.Config.Listeners[1].Names = []string{"a.example", "**.wild.example"}
	parts.Config.Hosts[0].Name = "**.example"
	r := newRig3(t, nil)
	r.applySnapshot(freeze(parts))
	for serverName, want := range map[string]int{"a.example": 200, "A.example": 200, "b.wild.example": 421} {
		c := r.client3(func(cfg *tls.Config) { cfg.ServerName = serverName })
		if status, _ := c.get("/"); status != want {
			t.Errorf("a.example at %s: %d, want %d", serverName, status, want)
		}
	}
}

// TestHTTP3ClientCertificateIsTold: backends learn of certificates that verify,
// and of no others.
func TestHTTP3ClientCertificateIsTold(t *testing.T) {
	b := newBackend(t, echo)
	ours, theirs := newAuthority(t), newAuthority(t)
	r := newRig3(t, nil)
	r.applySnapshot(asking(t, b.addr, newKeyPair(t, "x"), model.RequestCertificate, ours.pem))
	for name, certificate := range map[string]tls.Certificate{"ours": ours.client(nil), "theirs": theirs.client(nil)} {
		c := r.client3(func(cfg *tls.Config) { cfg.Certificates = []tls.Certificate{certificate} })
		req := c.request("GET", "/", nil)
		req.Header.Set("X-Forwarded-Client-Cert", "Hash=00;Subject=\"CN=evil\"")
		_, body, _ := c.do(req)
		told := fieldOf(body, "X-Forwarded-Client-Cert")
		if strings.Contains(told, `Subject="CN=client"`) != (name == "ours") || strings.Contains(told, "evil") {
			t.Errorf("%s: %q", name, told)
		}
	}
}

// TestHTTP3Calls: an answer of ours to a call of gRPC is one that its client
// understands.
func TestHTTP3Calls(t *testing.T) {
	b := newBackend(t, always(ok2))
	parts := tlsRule(t, b.addr, map[string]keyPair{"*": newKeyPair(t, "x")}).Parts
	parts.Config.Hosts[0].Name = "other.example"
	r := newRig3(t, nil)
	r.applySnapshot(freeze(parts))
	c := r.client3(nil)
	req := c.request("POST", "/a.B/C", strings.NewReader("\x00\x00\x00\x00\x00"))
	req.Header.Set("Content-Type", "application/grpc")
	req.Header.Set("TE", "trailers")
	// No route is UNIMPLEMENTED (12), as gRPC maps 404.
	if status, _, answer := c.do(req); status != 200 || answer.Header.Get("Grpc-Status") != "12" {
		t.Errorf("%d %v", status, answer.Header)
	}
}

// TestHTTP3LeavesItsPort: a route that asks for the port of UDP has it.
func TestHTTP3LeavesItsPort(t *testing.T) {
	b, echoes := newBackend(t, always(ok2)), newUDPBackend(t, "u")
	r := newRig3(t, nil)
	with := tlsRule(t, b.addr, map[string]keyPair{"*": newKeyPair(t, "x")})
	r.applySnapshot(with)
	layer4, err := model.Parse(l4Routes("listener 443/udp udp\nl4-route u 443/udp forward=s:1\n", echoes.addr))
	if err != nil {
		t.Fatal(err)
	}
	parts := with.Parts
	parts.Config.Listeners = append(append([]model.Listener(nil), parts.Config.Listeners...), layer4.Config.Listeners...)
	parts.Config.L4Routes = layer4.Config.L4Routes
	parts.Config.Services = append(append([]model.Service(nil), parts.Config.Services...), layer4.Config.Services...)
	parts.Endpoints = append(append([]model.Endpoints(nil), parts.Endpoints...), layer4.Endpoints...)
	both := freeze(parts)
	if _, err := r.proxy.Apply(both); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the port is the route's", func() bool {
		reports, err := r.proxy.Apply(both)
		return err == nil && len(reports) == 0
	})
	if got := r.altSvc("/", true); got != "" {
		t.Errorf("promised %q", got)
	}
	conn, err := net.Dial("udp", r.proxy.Addr(model.ListenerID{Port: 443, UDP: true}).String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := newPeer(t, conn)
	c.send("hello")
	c.patient()
	answer := make([]byte, 100)
	if n, err := conn.Read(answer); err != nil || !strings.Contains(string(answer[:n]), "hello") {
		t.Errorf("%q %v", answer[:n], err)
	}
}
