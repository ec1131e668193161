package proxy_test

import (
	"crypto/tls"
	"slices"
	"strings"
	"testing"
	"time"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy"
)

// A connection in plain text does not outlive the change of its port to TLS: who
// comes by it would be asked for nothing.
func TestPlainTextEndsWhereTLSBegins(t *testing.T) {
	b := newBackend(t, always(ok2))
	server, ca := newKeyPair(t, "x"), newAuthority(t)
	after := asking(t, b.addr, server, model.RequireCertificate, ca.pem)
	before := after.Parts
	before.Config.Listeners = []model.Listener{{ID: model.ListenerID{Port: 443}}, {ID: model.ListenerID{Port: 80}}}
	r := newRig(t, nil)
	r.applySnapshot(model.Freeze(before))
	idle, fresh := r.dialTo(443), r.dialTo(443)
	idle.send(get("/"))
	if got := idle.answer("GET"); got != ok2 {
		t.Fatalf("%q", got)
	}
	r.applySnapshot(after)
	idle.closed()
	fresh.send(get("/"))
	if got := fresh.line(); strings.HasPrefix(got, "HTTP/1.1 200") {
		t.Errorf("a client that had connected before is served: %q", got)
	}
}

// A client whose handshake began under one policy and ends under another is not
// let in: nobody would look at it again.
func TestPolicyChangesWithinAHandshake(t *testing.T) {
	b := newBackend(t, always(ok2))
	server, ca := newKeyPair(t, "x"), newAuthority(t)
	for name, served := range map[string]func(*rig, *tls.Config) bool{
		"TCP": func(r *rig, cfg *tls.Config) bool { _, ok := r.served(cfg); return ok },
		"QUIC": func(r *rig, cfg *tls.Config) bool {
			c := r.client3(func(own *tls.Config) { own.VerifyConnection = cfg.VerifyConnection })
			answer, err := c.RoundTrip(c.request("GET", "/", nil))
			if err == nil {
				answer.Body.Close()
			}
			return err == nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig3(t, nil)
			r.applySnapshot(tlsRule(t, b.addr, map[string]keyPair{"*": server}))
			late := &tls.Config{VerifyConnection: func(tls.ConnectionState) error {
				r.applySnapshot(asking(t, b.addr, server, model.RequireCertificate, ca.pem))
				return nil
			}}
			if served(r, late) {
				t.Error("it is served without a certificate")
			}
		})
	}
}

// A policy that is lifted ends what was made under it, too: backends would go on
// to learn of certificates that nobody vouches for.
func TestPolicyIsLifted(t *testing.T) {
	b := newBackend(t, always(ok2))
	server, ca := newKeyPair(t, "x"), newAuthority(t)
	r := newRig(t, nil)
	r.applySnapshot(asking(t, b.addr, server, model.RequestCertificate, ca.pem))
	c, _, err := r.shake(&tls.Config{Certificates: []tls.Certificate{ca.client(nil)}})
	if err != nil {
		t.Fatal(err)
	}
	c.send(get("/"))
	c.answer("GET")
	r.applySnapshot(tlsRule(t, b.addr, map[string]keyPair{"*": server}))
	c.closed()
}

// What is passed through is none of the listener's handshakes: it outlives a new
// policy for clients, and what TLS was taken off of does not.
func TestPassthroughOutlivesAPolicy(t *testing.T) {
	raw, plain, web, ca := tlsBackend(t, "the backend's"), newBackend(t, repeat), newBackend(t, echo), newAuthority(t)
	r := newRig(t, func(cfg *proxy.Config) { cfg.DrainWait = 100 * time.Millisecond })
	before := mixedSnapshot(t, raw, plain, web)
	r.applySnapshot(before)
	passed, _, err := r.shake(&tls.Config{ServerName: "raw.example"})
	if err != nil {
		t.Fatal(err)
	}
	ended, _, err := r.shake(&tls.Config{ServerName: "plain.example"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*peer{passed, ended} {
		c.send("one")
		c.expect("one")
	}
	after := before.Parts
	after.Bundles = []model.Bundle{{Name: "configmap/ns/ca", PEM: ca.pem}}
	after.Config.Listeners = slices.Clone(after.Config.Listeners)
	after.Config.Listeners[0].ClientAuth = &model.ClientAuth{Bundles: []string{"configmap/ns/ca"}}
	r.applySnapshot(model.Freeze(after))
	if got := ended.line(); got != "" {
		t.Errorf("%q", got)
	}
	passed.send("two")
	passed.expect("two")
}
