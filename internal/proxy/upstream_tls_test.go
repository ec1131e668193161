package proxy_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy"
)

// secureBackend is a server of net/http over TLS, which says how it was asked, and
// counts its connections.
type secureBackend struct {
	*httptest.Server
	connections atomic.Int64
}

func newSecureBackend(t *testing.T, pair keyPair, edit func(*tls.Config)) *secureBackend {
	t.Helper()
	cert, err := tls.X509KeyPair(pair.chain, pair.key)
	if err != nil {
		t.Fatal(err)
	}
	b := &secureBackend{}
	b.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		client := ""
		if len(r.TLS.PeerCertificates) > 0 {
			client = r.TLS.PeerCertificates[0].Subject.CommonName
		}
		fmt.Fprintf(w, "%s sni=%s client=%s", r.Proto, r.TLS.ServerName, client)
	}))
	b.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	b.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			b.connections.Add(1)
		}
	}
	b.Config.ErrorLog = log.New(io.Discard, "", 0)
	if edit != nil {
		edit(b.TLS)
	}
	b.EnableHTTP2 = len(b.TLS.NextProtos) == 0 || b.TLS.NextProtos[0] == "h2"
	b.StartTLS()
	t.Cleanup(b.Close)
	return b
}

func (b *secureBackend) addr() string { return b.Listener.Addr().String() }

// securedRule is rule's Snapshot with a service that is asked for TLS.
func securedRule(t *testing.T, service, endpoint string, ca []byte, secrets map[string]keyPair) *model.Snapshot {
	t.Helper()
	text := strings.ReplaceAll(rule("", endpoint), "service s:80 round-robin", "service s:80 round-robin "+service)
	if ca != nil {
		text += "bundle configmap/ns/ca 00\n"
	}
	for name := range secrets {
		text += "secret " + name + " 00\n"
	}
	s, err := model.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	parts := s.Parts
	for i := range parts.Bundles {
		parts.Bundles[i].PEM = ca
	}
	for i := range parts.Secrets {
		pair := secrets[parts.Secrets[i].Name]
		parts.Secrets[i].Chain, parts.Secrets[i].Key = pair.chain, pair.key
	}
	return model.Freeze(parts)
}

func bodyOf(answer string) string {
	_, body, _ := strings.Cut(answer, "\r\n\r\n")
	return body
}

// What is asked of a backend is verified, and nothing is sent to one that does
// not have it.
func TestUpstreamTLS(t *testing.T) {
	server, me := newKeyPair(t, "a.example"), newKeyPair(t, "me")
	other := newKeyPair(t, "b.example")
	http1 := func(c *tls.Config) { c.NextProtos = []string{"http/1.1"} }
	asks := func(c *tls.Config) {
		http1(c)
		c.ClientAuth = tls.RequireAndVerifyClientCert
		c.ClientCAs = x509.NewCertPool()
		c.ClientCAs.AppendCertsFromPEM(me.chain)
	}
	tests := []struct {
		name, service string
		ca            []byte
		edit          func(*tls.Config)
		status        int
		body          string
	}{
		{"HTTP/1.1", "tls server-name=a.example name=a.example ca=configmap/ns/ca", server.chain, http1, 200, "HTTP/1.1 sni=a.example client="},
		{"HTTP/2 by ALPN", "protocol=negotiated tls server-name=a.example name=a.example ca=configmap/ns/ca", server.chain, nil, 200, "HTTP/2.0 sni=a.example client="},
		{"HTTP/1.1 by ALPN", "protocol=negotiated tls server-name=a.example name=a.example ca=configmap/ns/ca", server.chain, http1, 200, "HTTP/1.1 sni=a.example client="},
		{"HTTP/2 alone", "protocol=http2 tls server-name=a.example name=a.example ca=configmap/ns/ca", server.chain, nil, 200, "HTTP/2.0 sni=a.example client="},
		{"HTTP/2 that is not spoken", "protocol=http2 tls name=a.example ca=configmap/ns/ca", server.chain, http1, 502, "outcome: upstream_tls_failed"},
		{"another name", "tls server-name=a.example name=c.example ca=configmap/ns/ca", server.chain, http1, 502, "outcome: upstream_tls_failed"},
		{"another authority", "tls server-name=a.example name=a.example ca=configmap/ns/ca", other.chain, http1, 502, "outcome: upstream_tls_failed"},
		{"no authority", "tls server-name=a.example name=a.example ca=configmap/ns/ca", []byte("x"), http1, 503, "outcome: closed"},
		{"unverified", "tls unverified", nil, http1, 200, "HTTP/1.1 sni= client="},
		{"our certificate", "tls name=a.example ca=configmap/ns/ca certificate=ns/me", server.chain, asks, 200, "HTTP/1.1 sni= client=me"},
		{"no certificate of ours", "tls name=a.example ca=configmap/ns/ca", server.chain, asks, 502, "outcome: upstream_"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newSecureBackend(t, server, tt.edit)
			r := newRig(t, nil)
			secrets := map[string]keyPair{}
			if strings.Contains(tt.service, "ns/me") {
				secrets["ns/me"] = me
			}
			r.proxy.Apply(securedRule(t, tt.service, b.addr(), tt.ca, secrets))
			c := r.dial()
			for range 3 {
				c.send(post("/", "hello"))
				got := c.answer("POST")
				if statusOf(got) != tt.status || !strings.Contains(bodyOf(got), tt.body) {
					t.Errorf("%q", got)
				}
			}
			if n := b.connections.Load(); tt.status == 200 && n != 1 {
				t.Errorf("%d connections for three requests", n)
			}
		})
	}
}

// Connections that were verified in one way are not used where another is asked
// for.
func TestUpstreamTLSIdentitiesAreApart(t *testing.T) {
	server := newKeyPair(t, "a.example")
	b := newSecureBackend(t, server, func(c *tls.Config) { c.NextProtos = []string{"http/1.1"} })
	r := newRig(t, nil)
	for i, service := range []string{
		"tls unverified",
		"tls name=a.example ca=configmap/ns/ca",
		"tls server-name=x name=a.example ca=configmap/ns/ca",
	} {
		r.applySnapshot(securedRule(t, service, b.addr(), server.chain, nil))
		c := r.dial()
		for range 2 {
			c.send(get("/"))
			if got := c.answer("GET"); statusOf(got) != 200 {
				t.Fatalf("%q", got)
			}
		}
		if n := b.connections.Load(); n != int64(i+1) {
			t.Errorf("%d connections after %d identities", n, i+1)
		}
	}
}

// A listener's own certificate is shown on behalf of its clients alone.
func TestBackendCertificateOfAListener(t *testing.T) {
	server, me := newKeyPair(t, "a.example"), newKeyPair(t, "me")
	b := newSecureBackend(t, server, func(c *tls.Config) {
		c.NextProtos, c.ClientAuth = []string{"http/1.1"}, tls.RequestClientCert
	})
	s := securedRule(t, "tls name=a.example ca=configmap/ns/ca", b.addr(), server.chain, map[string]keyPair{"ns/me": me})
	parts := s.Parts
	parts.Config.Listeners = append(parts.Config.Listeners, model.Listener{ID: model.ListenerID{Port: 81}, BackendCertificate: "ns/me"})
	parts.Config.Hosts[0].Listeners = append(parts.Config.Hosts[0].Listeners, model.ListenerID{Port: 81})
	r := newRig(t, nil)
	r.applySnapshot(model.Freeze(parts))
	nc, err := net.Dial("tcp", r.addr(81))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	for c, want := range map[*peer]string{r.dial(): "client=", newPeer(t, nc): "client=me"} {
		for range 2 {
			c.send(get("/"))
			if got := bodyOf(c.answer("GET")); !strings.HasSuffix(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
		}
	}
	if n := b.connections.Load(); n != 2 {
		t.Errorf("%d connections for two identities", n)
	}
}

// Many requests at once share connections of HTTP/2, which carry no more streams
// than they may; a second is made when the first is full.
func TestUpstreamHTTP2Connections(t *testing.T) {
	server := newKeyPair(t, "a.example")
	b := newSecureBackend(t, server, nil)
	r := newRig(t, func(cfg *proxy.Config) { cfg.Limits.Streams = 2 })
	r.applySnapshot(securedRule(t, "protocol=http2 tls name=a.example ca=configmap/ns/ca", b.addr(), server.chain, nil))
	done := make(chan string, 16)
	for range cap(done) {
		go func() { done <- r.ask(post("/", "x")) }()
	}
	for range cap(done) {
		if got := <-done; statusOf(got) != 200 {
			t.Errorf("%q", got)
		}
	}
	if n := b.connections.Load(); n > 8 {
		t.Errorf("%d connections", n)
	}
}
