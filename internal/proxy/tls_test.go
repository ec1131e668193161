package proxy_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"windrose.dev/windrose/internal/model"
)

// keyPair is a self-signed certificate and its key, as PEM.
type keyPair struct{ chain, key []byte }

func newKeyPair(t testing.TB, names ...string) keyPair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return keyPair{
		chain: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		key:   pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}),
	}
}

// tlsRule is a Snapshot that serves one rule on port 443, with a certificate
// for each name.
func tlsRule(t *testing.T, endpoint string, certificates map[string]keyPair) *model.Snapshot {
	t.Helper()
	text := "listener 443 https\n"
	for name := range certificates {
		text += "certificate 443 " + name + " ns/" + name + "\nsecret ns/" + name + " 00\n"
	}
	text += strings.ReplaceAll(rule("", endpoint), "host * 80", "host * 80,443")
	s, err := model.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	parts := s.Parts
	for i := range parts.Secrets {
		pair := certificates[strings.TrimPrefix(parts.Secrets[i].Name, "ns/")]
		parts.Secrets[i].Chain, parts.Secrets[i].Key = pair.chain, pair.key
	}
	return model.Freeze(parts)
}

// shake connects to port 443.
func (r *rig) shake(cfg *tls.Config) (*peer, *tls.Conn, error) {
	r.t.Helper()
	cfg.InsecureSkipVerify = true // which certificate comes is what is tested
	nc, err := tls.Dial("tcp", r.addr(443), cfg)
	if err != nil {
		return nil, nil, err
	}
	r.t.Cleanup(func() { nc.Close() })
	return newPeer(r.t, nc), nc, nil
}

func TestServerNames(t *testing.T) {
	b := newBackend(t, always(ok2))
	r := newRig(t, nil)
	certificates := map[string]keyPair{}
	for _, name := range []string{"a.example", "*.a.example"} {
		certificates[name] = newKeyPair(t, name)
	}
	r.applySnapshot(tlsRule(t, b.addr, certificates))
	ask := func(name string) string {
		_, conn, err := r.shake(&tls.Config{ServerName: name})
		if err != nil {
			return err.Error()
		}
		return conn.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	for name, want := range map[string]string{
		"a.example": "a.example", "A.Example": "a.example", "b.a.example": "*.a.example",
		"c.b.a.example": "remote error: tls: unrecognized name",
		"other.example": "remote error: tls: unrecognized name",
		"":              "remote error: tls: unrecognized name",
	} {
		if got := ask(name); got != want {
			t.Errorf("%q: %s, want %s", name, got, want)
		}
	}
	certificates["**.a.example"] = newKeyPair(t, "deep")
	r.applySnapshot(tlsRule(t, b.addr, certificates))
	for name, want := range map[string]string{"b.a.example": "*.a.example", "c.b.a.example": "deep", "d.c.b.a.example": "deep"} {
		if got := ask(name); got != want {
			t.Errorf("%q: %s, want %s", name, got, want)
		}
	}
	delete(certificates, "**.a.example")
	certificates["*"] = newKeyPair(t, "default")
	r.applySnapshot(tlsRule(t, b.addr, certificates))
	for name, want := range map[string]string{"a.example": "a.example", "c.b.a.example": "default", "": "default"} {
		if got := ask(name); got != want {
			t.Errorf("%q: %s, want %s", name, got, want)
		}
	}
	if text := string(r.metrics.WriteText()); !strings.Contains(text, `windrose_tls_handshakes_total{port="443",result="failed"} 3`) {
		t.Error(text)
	}
}

func TestTLSVersions(t *testing.T) {
	b := newBackend(t, echo)
	r := newRig(t, nil)
	r.applySnapshot(tlsRule(t, b.addr, map[string]keyPair{"*": newKeyPair(t, "x")}))
	for version, want := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		c, conn, err := r.shake(&tls.Config{MinVersion: version, MaxVersion: version, NextProtos: []string{"http/1.1"}})
		if (err == nil) != want {
			t.Errorf("version %x: %v", version, err)
		}
		if err != nil {
			continue
		}
		if got := conn.ConnectionState().NegotiatedProtocol; got != "http/1.1" {
			t.Errorf("protocol %q", got)
		}
		for range 3 {
			c.send(post("/", "hello"))
			if got := c.answer("POST"); fieldOf(got[strings.Index(got, "\r\n\r\n")+4:], "X-Forwarded-Proto") != "https" {
				t.Errorf("%q", got)
			}
		}
	}
}

// TestResumption checks that sessions live through swaps, and not through a
// change of the certificate.
func TestResumption(t *testing.T) {
	b := newBackend(t, always(ok2))
	other := newBackend(t, always(ok2))
	first, second := newKeyPair(t, "x"), newKeyPair(t, "x")
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		r := newRig(t, nil)
		cache := tls.NewLRUClientSessionCache(4)
		resumes := func() bool {
			c, conn, err := r.shake(&tls.Config{ServerName: "x", ClientSessionCache: cache, MaxVersion: version})
			if err != nil {
				t.Fatal(err)
			}
			c.send(get("/"))
			if got := c.answer("GET"); got != ok2 { // with it come the tickets of TLS 1.3
				t.Fatalf("%q", got)
			}
			conn.Close()
			return conn.ConnectionState().DidResume
		}
		r.applySnapshot(tlsRule(t, b.addr, map[string]keyPair{"*": first}))
		if resumes() {
			t.Error("resumed out of nothing")
		}
		if !resumes() {
			t.Errorf("version %x does not resume", version)
		}
		r.applySnapshot(tlsRule(t, other.addr, map[string]keyPair{"*": first}))
		if !resumes() {
			t.Errorf("version %x does not resume after a swap", version)
		}
		r.applySnapshot(tlsRule(t, other.addr, map[string]keyPair{"*": second}))
		if resumes() {
			t.Errorf("version %x resumes under another certificate", version)
		}
		if !resumes() {
			t.Errorf("version %x does not resume under the new certificate", version)
		}
	}
}

// TestUploadOverTLS checks that a body that comes in pieces is not taken apart
// further.
func TestUploadOverTLS(t *testing.T) {
	reads := make(chan int, 1)
	b := newBackend(t, func(p *peer) {
		p.head()
		p.patient()
		n, left := 0, 10<<20
		buf := make([]byte, 64<<10)
		for left > 0 {
			got, err := p.r.Read(buf)
			if err != nil {
				break
			}
			n, left = n+1, left-got
		}
		p.send(ok2)
		reads <- n
	})
	r := newRig(t, nil)
	r.applySnapshot(tlsRule(t, b.addr, map[string]keyPair{"*": newKeyPair(t, "x")}))
	c, conn, err := r.shake(&tls.Config{})
	if err != nil {
		t.Fatal(err)
	}
	c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10485760\r\n\r\n")
	c.nc.SetDeadline(time.Now().Add(patience))
	if _, err := io.Copy(struct{ io.Writer }{conn}, io.LimitReader(&filler{}, 10<<20)); err != nil {
		t.Fatal(err)
	}
	if got := c.answer("POST"); got != ok2 {
		t.Errorf("%q", got)
	}
	if n := <-reads; n > 10_000 {
		t.Errorf("it arrived in %d pieces", n)
	}
}

func TestTunnelOverTLS(t *testing.T) {
	b := newBackend(t, upgraded(repeat))
	r := newRig(t, nil)
	snapshot := tlsRule(t, b.addr, map[string]keyPair{"*": newKeyPair(t, "x")})
	r.applySnapshot(snapshot)
	c, conn, err := r.shake(&tls.Config{})
	if err != nil {
		t.Fatal(err)
	}
	c.send(upgradeRequest)
	c.head()
	for range 50 {
		c.send("hello")
		c.expect("hello")
	}
	conn.CloseWrite()
	c.closed()
}

// TestTLSClientAbort checks that the end of a TLS client's connection ends the
// work too.
func TestTLSClientAbort(t *testing.T) {
	working, gone := newSignal(), newSignal()
	b := newBackend(t, func(p *peer) {
		p.head()
		working.fire()
		p.rest()
		gone.fire()
	})
	r := newRig(t, nil)
	r.applySnapshot(tlsRule(t, b.addr, map[string]keyPair{"*": newKeyPair(t, "x")}))
	c, _, err := r.shake(&tls.Config{})
	if err != nil {
		t.Fatal(err)
	}
	c.send(get("/work"))
	working.wait(t, "the request reaches the backend")
	c.nc.Close()
	gone.wait(t, "the backend sees its connection close")
}

// TestPlainTextOnATLSPort checks that nothing comes of it, and nothing is
// left.
func TestPlainTextOnATLSPort(t *testing.T) {
	r := newRig(t, nil)
	b := newBackend(t, echo)
	r.applySnapshot(tlsRule(t, b.addr, map[string]keyPair{"*": newKeyPair(t, "x")}))
	nc, err := net.Dial("tcp", r.addr(443))
	if err != nil {
		t.Fatal(err)
	}
	c := newPeer(t, nc)
	c.send(get("/"))
	c.rest()
	nc.Close()
	eventually(t, "no connection is left", func() bool { return r.proxy.Connections() == 0 })
	if b.bytes() != "" {
		t.Errorf("the backend got %q", b.bytes())
	}
}

// TestEarlyRefusalOverTLS checks that the client gets the answer though it is
// still sending.
func TestEarlyRefusalOverTLS(t *testing.T) {
	b := newBackend(t, echo)
	r := newRig(t, nil)
	s := tlsRule(t, b.addr, map[string]keyPair{"*": newKeyPair(t, "x")})
	s.Config.Hosts[0].Blocks[0].Rules[0].Filters = model.Filters{&model.BodyLimit{Max: 5}}
	r.applySnapshot(model.Freeze(s.Parts))
	for range 10 {
		c, _, err := r.shake(&tls.Config{})
		if err != nil {
			t.Fatal(err)
		}
		c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n")
		c.send(strings.Repeat("x", 500_000))
		if got := c.answer("POST"); statusOf(got) != 413 {
			t.Fatalf("%q", got)
		}
		c.nc.Close()
	}
}

// A request for a host of another listener than the one that the server name
// chose gets 421, over HTTP/1.1 and HTTP/2; one for a host of none gets 404
// (Gateway API, Listener.hostname).
func TestMisdirectedRequests(t *testing.T) {
	b := newBackend(t, echo)
	s := tlsRule(t, b.addr, map[string]keyPair{"*": newKeyPair(t, "x")})
	parts := s.Parts
	parts.Config.Listeners[1].Names = []string{"a.example", "**.wild.example", "deep.wild.example"}
	parts.Config.Hosts[0].Name = "**.example"
	r := newRig(t, nil)
	r.applySnapshot(model.Freeze(parts))
	tests := []struct {
		serverName, host string
		status           int
	}{
		{"a.example", "a.example", 200},
		{"a.example", "A.Example.:443", 200},
		{"a.example", "b.wild.example", 421},
		{"b.wild.example", "c.wild.example", 200},
		{"b.wild.example", "deep.wild.example", 421},
		{"deep.wild.example", "b.wild.example", 421},
		{"b.wild.example", "other.example", 200}, // of no listener: its rules decide
		{"b.wild.example", "elsewhere", 404},
	}
	for _, tt := range tests {
		for _, version := range []string{"h2", "http/1.1"} {
			config := &tls.Config{ServerName: tt.serverName, InsecureSkipVerify: true, NextProtos: []string{version}}
			client := &http.Client{Transport: &http.Transport{
				TLSClientConfig: config, ForceAttemptHTTP2: version == "h2", DisableKeepAlives: true,
				DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("tcp", r.addr(443)) },
			}}
			req, _ := http.NewRequestWithContext(t.Context(), "GET", "https://"+tt.serverName+"/", nil)
			req.Host = tt.host
			resp, err := client.Do(req)
			if err != nil {
				t.Errorf("%s over %s: %v", tt.host, version, err)
				continue
			}
			resp.Body.Close()
			if resp.StatusCode != tt.status {
				t.Errorf("%s to %s over %s: %d, want %d", tt.host, tt.serverName, version, resp.StatusCode, tt.status)
			}
		}
	}
}
