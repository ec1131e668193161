package proxy_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy/frontend"
	"windrose.dev/windrose/internal/reason"
)

// authority signs the certificates of clients.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{t, cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

// client signs a client's certificate, which edit may change.
func (a *authority) client(edit func(*x509.Certificate)) tls.Certificate {
	a.t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "client"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if edit != nil {
		edit(template)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// asking is a Snapshot that asks clients of port 443 for certificates.
func asking(t *testing.T, endpoint string, server keyPair, mode model.ClientAuthMode, pem []byte) *model.Snapshot {
	t.Helper()
	parts := tlsRule(t, endpoint, map[string]keyPair{"*": server}).Parts
	parts.Bundles = []model.Bundle{{Name: "configmap/ns/ca", PEM: pem}}
	for i := range parts.Config.Listeners {
		if l := &parts.Config.Listeners[i]; l.Protocol == model.HTTPS {
			l.ClientAuth = &model.ClientAuth{Bundles: []string{"configmap/ns/ca"}, Mode: mode}
		}
	}
	return model.Freeze(parts)
}

// served reports whether a client is served over TLS.
func (r *rig) served(cfg *tls.Config) (*tls.Conn, bool) {
	r.t.Helper()
	c, conn, err := r.shake(cfg)
	if err != nil {
		return nil, false
	}
	c.send(get("/")) // in TLS 1.3 a client learns with the first answer that it was refused
	return conn, strings.HasPrefix(c.answer("GET"), "HTTP/1.1 200")
}

func TestClientCertificates(t *testing.T) {
	b := newBackend(t, always(ok2))
	server, ours, theirs := newKeyPair(t, "x"), newAuthority(t), newAuthority(t)
	expired := func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }
	forServers := func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }
	clients := []struct {
		name        string
		certificate []tls.Certificate
		valid       bool
	}{
		{"with a certificate of ours", []tls.Certificate{ours.client(nil)}, true},
		{"with none", nil, false},
		{"with one of others", []tls.Certificate{theirs.client(nil)}, false},
		{"with an old one", []tls.Certificate{ours.client(expired)}, false},
		{"with a server's", []tls.Certificate{ours.client(forServers)}, false},
	}
	for _, mode := range []model.ClientAuthMode{model.RequireCertificate, model.RequestCertificate} {
		r := newRig(t, nil)
		r.applySnapshot(asking(t, b.addr, server, mode, ours.pem))
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			for _, client := range clients {
				want := client.valid || mode == model.RequestCertificate
				if _, got := r.served(&tls.Config{Certificates: client.certificate, MaxVersion: version}); got != want {
					t.Errorf("mode %d, TLS %x, a client %s: served %v", mode, version, client.name, got)
				}
			}
		}
	}
}

// TestClientPolicyEndsSessions: neither a session nor a connection that was
// made under one policy serves under another.
func TestClientPolicyEndsSessions(t *testing.T) {
	b := newBackend(t, always(ok2))
	server, first, second := newKeyPair(t, "x"), newAuthority(t), newAuthority(t)
	r := newRig(t, nil)
	cfg := &tls.Config{ServerName: "x", ClientSessionCache: tls.NewLRUClientSessionCache(4), Certificates: []tls.Certificate{first.client(nil)}}
	r.applySnapshot(asking(t, b.addr, server, model.RequireCertificate, first.pem))
	for i := range 2 {
		conn, served := r.served(cfg)
		if !served || conn.ConnectionState().DidResume != (i == 1) {
			t.Fatalf("round %d: served %v, resumed %v", i, served, conn.ConnectionState().DidResume)
		}
	}
	c, _, err := r.shake(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c.send(get("/"))
	c.answer("GET")
	r.applySnapshot(asking(t, b.addr, server, model.RequireCertificate, append(second.pem, first.pem...)))
	c.closed() // the connection was idle
	conn, served := r.served(cfg)
	if !served || conn.ConnectionState().DidResume {
		t.Errorf("under another policy: served %v, resumed %v", served, conn.ConnectionState().DidResume)
	}
	r.applySnapshot(asking(t, b.addr, server, model.RequireCertificate, second.pem))
	if _, served := r.served(cfg); served {
		t.Error("a client is served that nobody vouches for any more")
	}
}

// TestExchangesOutliveAPolicy: what is under way ends in order, and its
// connection with it.
func TestExchangesOutliveAPolicy(t *testing.T) {
	working, finish := newSignal(), newSignal()
	b := newBackend(t, func(p *peer) {
		p.head()
		working.fire()
		finish.wait(t, "the policy has changed")
		p.send(ok2)
	})
	server, ca := newKeyPair(t, "x"), newAuthority(t)
	r := newRig(t, nil)
	r.applySnapshot(tlsRule(t, b.addr, map[string]keyPair{"*": server}))
	c, _, err := r.shake(&tls.Config{})
	if err != nil {
		t.Fatal(err)
	}
	c.send(get("/"))
	working.wait(t, "the request reaches the backend")
	r.applySnapshot(asking(t, b.addr, server, model.RequireCertificate, ca.pem))
	finish.fire()
	if got := c.answer("GET"); got != ok2 {
		t.Errorf("%q", got)
	}
	c.closed()
}

// TestClientsOfALostBundleAreRefused: without authorities nobody is let in,
// and a Report says so.
func TestClientsOfALostBundleAreRefused(t *testing.T) {
	b := newBackend(t, always(ok2))
	server, ca := newKeyPair(t, "x"), newAuthority(t)
	for _, mode := range []model.ClientAuthMode{model.RequireCertificate, model.RequestCertificate} {
		for name, text := range map[string][]byte{"missing": nil, "broken": []byte("nothing")} {
			r := newRig(t, nil)
			reports, err := r.proxy.Apply(asking(t, b.addr, server, mode, text))
			if err != nil || len(reports) != 1 || reports[0].Code != reason.BundleInvalid {
				t.Errorf("%s: %v, %v", name, err, reports)
			}
			if _, served := r.served(&tls.Config{Certificates: []tls.Certificate{ca.client(nil)}}); served {
				t.Errorf("%s: a client is served", name)
			}
		}
	}
}

func TestVerifiedClient(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ours.pem)
	cfg := &tls.Config{ClientCAs: pool}
	for name, test := range map[string]struct {
		cert  tls.Certificate
		valid bool
	}{"ours": {ours.client(nil), true}, "theirs": {theirs.client(nil), false}} {
		state := tls.ConnectionState{PeerCertificates: []*x509.Certificate{test.cert.Leaf}}
		if got := frontend.VerifiedClient(cfg, state); (got != nil) != test.valid {
			t.Errorf("%s: %v", name, got)
		}
	}
	if frontend.VerifiedClient(cfg, tls.ConnectionState{}) != nil || frontend.VerifiedClient(&tls.Config{}, tls.ConnectionState{PeerCertificates: []*x509.Certificate{ours.cert}}) != nil {
		t.Error("verified by nobody")
	}
}

// A backend learns of the verified certificate alone, and not of what a client
// says of itself.
func TestBackendsLearnOfClientCertificates(t *testing.T) {
	b := newBackend(t, echo)
	server, ours, theirs := newKeyPair(t, "x"), newAuthority(t), newAuthority(t)
	r := newRig(t, nil)
	r.applySnapshot(asking(t, b.addr, server, model.RequestCertificate, ours.pem))
	const spoofed = "X-Forwarded-Client-Cert: Hash=00;Subject=\"CN=admin\"\r\n"
	for _, tt := range []struct {
		name         string
		certificates []tls.Certificate
		want         string
	}{
		{"none", nil, ""},
		{"one of others", []tls.Certificate{theirs.client(nil)}, ""},
		{"one of ours", []tls.Certificate{ours.client(nil)}, "Hash="},
	} {
		c, _, err := r.shake(&tls.Config{Certificates: tt.certificates})
		if err != nil {
			t.Fatal(err)
		}
		c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n" + spoofed + "\r\n")
		got := fieldOf(bodyOf(c.answer("POST")), "X-Forwarded-Client-Cert")
		if (got == "") != (tt.want == "") || !strings.HasPrefix(got, tt.want) || strings.Contains(got, "admin") {
			t.Errorf("%s: %q", tt.name, got)
		}
	}
}
