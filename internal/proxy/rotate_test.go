package proxy_test

import (
	"crypto/tls"
	"strings"
	"testing"
)

// TestRotatedCertificate: a certificate that is rotated is shown in the next handshake,
// and resumes no session of the old one. No route is compiled for it, and connections that
// are open stay.
func TestRotatedCertificate(t *testing.T) {
	b := newBackend(t, always(ok2))
	r := newRig(t, nil)
	pairs := map[string]keyPair{"a.example": newKeyPair(t, "first"), "b.example": newKeyPair(t, "other")}
	sessions := tls.NewLRUClientSessionCache(4)
	shake := func(name string) (*peer, tls.ConnectionState) {
		c, conn, err := r.shake(&tls.Config{ServerName: name, ClientSessionCache: sessions})
		if err != nil {
			t.Fatal(err)
		}
		c.send(get("/"))
		c.answer("GET") // with it come the tickets
		return c, conn.ConnectionState()
	}
	shown := func(name, want string, resumed bool) *peer {
		t.Helper()
		c, state := shake(name)
		if got := state.PeerCertificates[0].Subject.CommonName; got != want || state.DidResume != resumed {
			t.Errorf("%s: %s, resumed %t; want %s, %t", name, got, state.DidResume, want, resumed)
		}
		return c
	}
	r.applySnapshot(tlsRule(t, b.addr, pairs))
	open, before := shown("a.example", "first", false), r.proxy.Generation()
	shown("a.example", "first", true)
	shown("b.example", "other", false)

	pairs["a.example"] = newKeyPair(t, "second")
	r.applySnapshot(tlsRule(t, b.addr, pairs))
	if after := r.proxy.Generation(); after == before || !after.SharesRoutes(before) {
		t.Error("routes were compiled, or nothing was applied")
	}
	shown("a.example", "second", false)
	shown("a.example", "second", true)
	shown("b.example", "other", false) // the keys of tickets are a listener's
	open.send(get("/"))
	if got := open.answer("GET"); got != ok2 {
		t.Errorf("%q", got)
	}
}

// TestRotatedBackendCertificate: what services are reached by is made anew, and the rest
// is not, when a Secret or a bundle is another.
func TestRotatedBackendCertificate(t *testing.T) {
	server, me, other := newKeyPair(t, "a.example"), newKeyPair(t, "me"), newKeyPair(t, "other")
	b := newSecureBackend(t, server, func(c *tls.Config) { c.ClientAuth = tls.RequestClientCert })
	r := newRig(t, nil)
	secrets := map[string]keyPair{"ns/me": me, "ns/aside": other}
	apply := func(authorities []byte) {
		r.applySnapshot(securedRule(t, "tls name=a.example ca=configmap/ns/ca certificate=ns/me", b.addr(), authorities, secrets))
	}
	apply(server.chain)
	for _, step := range []struct {
		name        string
		secret      string
		authorities []byte
		client      string
		kept        bool
	}{
		{"a Secret that no service has", "ns/aside", server.chain, "client=me", true},
		{"the certificate of a service", "ns/me", server.chain, "client=second", false},
		{"its authorities", "", append(other.chain, server.chain...), "client=second", false},
	} {
		before := r.proxy.Generation()
		if step.secret != "" {
			secrets[step.secret] = newKeyPair(t, "second")
		}
		apply(step.authorities)
		if after := r.proxy.Generation(); after == before || after.SharesRoutes(before) != step.kept {
			t.Errorf("%s: routes were kept: %t", step.name, !step.kept)
		}
		if got := bodyOf(r.ask(get("/"))); !strings.HasSuffix(got, step.client) {
			t.Errorf("%s: %q, want %q", step.name, got, step.client)
		}
	}
}
