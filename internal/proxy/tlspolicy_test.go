package proxy_test

import (
	"crypto/tls"
	"strings"
	"testing"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy"
)

const (
	gcm = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
	cbc = "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA"
)

// policies is a Snapshot with a certificate for each name, and the policy that
// its options say.
func policies(t *testing.T, endpoint string, pair keyPair, options map[string]string) *model.Snapshot {
	t.Helper()
	certificates := map[string]keyPair{}
	for name := range options {
		certificates[name] = pair
	}
	s := tlsRule(t, endpoint, certificates)
	parts := s.Parts
	for i := range parts.Config.Listeners {
		for j := range parts.Config.Listeners[i].Certificates {
			c := &parts.Config.Listeners[i].Certificates[j]
			c.Policy = policyOf(t, options[c.Host])
		}
	}
	return model.Freeze(parts)
}

// policyOf reads the options of a policy by way of the text form.
func policyOf(t *testing.T, options string) *model.TLSPolicy {
	t.Helper()
	s, err := model.Parse("listener 443 https\nsecret a/b 00\ncertificate 443 * a/b " + options)
	if err != nil {
		t.Fatal(err)
	}
	return s.Config.Listeners[0].Certificates[0].Policy
}

// tls12 is a client of TLS 1.2 that offers some suites.
func tls12(name string, suites ...string) *tls.Config {
	return &tls.Config{ServerName: name, MaxVersion: tls.VersionTLS12, CipherSuites: model.SuiteIDs(suites)}
}

// TestPoliciesGoByServerName: each name has its own, found as its certificate is.
func TestPoliciesGoByServerName(t *testing.T) {
	b := newBackend(t, always(ok2))
	r := newRig(t, nil)
	r.applySnapshot(policies(t, b.addr, newKeyPair(t, "x"), map[string]string{
		"strict.example": "tls-min=1.3", "*.strict.example": "tls-min=1.3", "open.strict.example": "",
		"old.example": "tls-suites=" + cbc + "," + gcm, "**.deep.example": "tls-suites=" + cbc, "*": "",
	}))
	for _, test := range []struct {
		name   string
		suites []string // of TLS 1.2; none is TLS 1.3
		why    string   // empty: it is admitted
	}{
		{"strict.example", nil, ""},
		{"strict.example", []string{gcm, cbc}, "protocol version not supported"},
		{"STRICT.example.", []string{gcm}, "protocol version not supported"},
		{"a.strict.example", []string{gcm}, "protocol version not supported"},
		{"open.strict.example", []string{gcm}, ""},
		{"open.strict.example", []string{cbc}, "handshake failure"},
		{"a.b.strict.example", []string{gcm}, ""}, // of the certificate for any name
		{"old.example", []string{cbc}, ""},
		{"old.example", []string{gcm}, ""},
		{"old.example", nil, ""},
		{"a.b.deep.example", []string{cbc}, ""},
		{"a.b.deep.example", []string{gcm}, "handshake failure"},
		{"other.example", []string{gcm}, ""},
		{"other.example", []string{cbc}, "handshake failure"}, // RFC 9113 appendix A
		{"", []string{cbc}, "handshake failure"},
	} {
		config := tls12(test.name, test.suites...)
		if len(test.suites) == 0 {
			config = &tls.Config{ServerName: test.name, MinVersion: tls.VersionTLS13}
		}
		c, _, err := r.shake(config)
		if (err == nil) != (test.why == "") || err != nil && !strings.Contains(err.Error(), test.why) {
			t.Errorf("%s with %v: want %q, got %v", test.name, test.suites, test.why, err)
			continue
		}
		if err == nil {
			c.send(get("/"))
			if got := c.answer("GET"); got != ok2 {
				t.Errorf("%s: %q", test.name, got)
			}
		}
	}
}

// TestPoliciesAreAboveTheDefault: a policy replaces the suites that stand where
// there is none, and cannot lower the version.
func TestPoliciesAreAboveTheDefault(t *testing.T) {
	b := newBackend(t, always(ok2))
	for _, test := range []struct {
		defaults, own string
		suite         string
		admitted      bool
	}{
		{"", "", gcm, true},
		{"", "", cbc, false},
		{"tls-suites=" + cbc, "", cbc, true},
		{"tls-suites=" + cbc, "", gcm, false},
		{"tls-suites=" + cbc, "tls-suites=" + gcm, gcm, true},
		{"tls-suites=" + cbc, "tls-suites=" + gcm, cbc, false},
		{"tls-suites=" + cbc, "tls-min=1.2", cbc, true},
		{"tls-min=1.3", "", gcm, false},
		{"tls-min=1.3", "tls-min=1.2", gcm, false},
		{"tls-min=1.3", "tls-min=1.2 tls-suites=" + gcm, gcm, false},
		{"tls-min=1.2", "tls-min=1.3", gcm, false},
	} {
		r := newRig(t, func(cfg *proxy.Config) {
			cfg.Limits.TLS = model.TLSPolicy{}
			if p := policyOf(t, test.defaults); p != nil {
				cfg.Limits.TLS = *p
			}
		})
		r.applySnapshot(policies(t, b.addr, newKeyPair(t, "x"), map[string]string{"*": test.own}))
		if _, _, err := r.shake(tls12("x", test.suite)); (err == nil) != test.admitted {
			t.Errorf("default %q, policy %q: %s: %v", test.defaults, test.own, test.suite, err)
		}
		if _, _, err := r.shake(&tls.Config{ServerName: "x"}); err != nil {
			t.Errorf("default %q, policy %q: TLS 1.3: %v", test.defaults, test.own, err)
		}
	}
}

// TestNoHTTP2WithCBC: RFC 9113 appendix A prohibits it, and HTTP/1.1 does not.
func TestNoHTTP2WithCBC(t *testing.T) {
	b := newBackend(t, always(ok2))
	const rsa = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"
	for _, own := range []string{"", "tls-suites=" + cbc + "," + gcm + "," + rsa} {
		r := newRig(t, func(cfg *proxy.Config) { cfg.Limits.TLS.Suites = []string{cbc, gcm, rsa} })
		r.applySnapshot(policies(t, b.addr, newKeyPair(t, "x"), map[string]string{"*": own}))
		for _, test := range []struct {
			suites   []string
			protocol string
		}{
			{[]string{gcm, cbc}, "h2"},
			{[]string{gcm}, "h2"},
			{[]string{cbc}, "http/1.1"},
			{[]string{cbc, rsa}, "http/1.1"}, // the certificate is not of RSA
			{nil, "h2"},
		} {
			config := tls12("x", test.suites...)
			if test.suites == nil {
				config = &tls.Config{ServerName: "x"}
			}
			config.NextProtos = []string{"h2", "http/1.1"}
			_, conn, err := r.shake(config)
			if err != nil {
				t.Errorf("%v: %v", test.suites, err)
				continue
			}
			state := conn.ConnectionState()
			if state.NegotiatedProtocol != test.protocol {
				t.Errorf("%v: %s with %s", test.suites, state.NegotiatedProtocol, tls.CipherSuiteName(state.CipherSuite))
			}
		}
	}
}

// TestL4RoutesHavePolicies: where TLS ends and bytes go on, too; and no protocol
// is agreed upon there.
func TestL4RoutesHavePolicies(t *testing.T) {
	b := newBackend(t, repeat)
	r := newRig(t, nil)
	r.applySnapshot(secure(t, `listener 443 tls
certificate 443 strict.example ns/a tls-min=1.3
certificate 443 open.example ns/a
l4-route strict 443 name=strict.example terminate forward=s:1
l4-route open 443 name=open.example terminate forward=s:1
service s:1 round-robin
endpoint s:1 `+b.addr+"\n", map[string]keyPair{"ns/a": newKeyPair(t, "x")}))
	for name, admitted := range map[string]bool{"strict.example": false, "open.example": true} {
		if _, _, err := r.shake(tls12(name, gcm)); (err == nil) != admitted {
			t.Errorf("%s: %v", name, err)
		}
		c, conn, err := r.shake(&tls.Config{ServerName: name, NextProtos: []string{"h2", "http/1.1"}})
		if err != nil {
			t.Fatal(err)
		}
		if got := conn.ConnectionState().NegotiatedProtocol; got != "" {
			t.Errorf("%s: protocol %q", name, got)
		}
		c.send("hello")
		c.expect("hello")
	}
}

// TestPoliciesOverHTTP3: it always has TLS 1.3, and goes on where a name has a
// policy.
func TestPoliciesOverHTTP3(t *testing.T) {
	b := newBackend(t, echo)
	r := newRig3(t, nil)
	for _, own := range []string{"", "tls-min=1.3", "tls-suites=" + cbc} {
		r.applySnapshot(policies(t, b.addr, newKeyPair(t, "x"), map[string]string{"*": own}))
		c := r.client3(nil)
		if status, _, answer := c.do(c.request("GET", "/", nil)); status != 200 || answer.TLS.Version != tls.VersionTLS13 {
			t.Errorf("%q: %d over %x", own, status, answer.TLS.Version)
		}
		c.Close()
	}
}

// TestPolicySessions: a ticket is worth something only under the policy that it
// was given under: of another name, or of the same name later.
func TestPolicySessions(t *testing.T) {
	b, pair := newBackend(t, always(ok2)), newKeyPair(t, "x")
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		r := newRig(t, nil)
		cache := oneSession{tls.NewLRUClientSessionCache(1)}
		resumes := func(name string) bool {
			t.Helper()
			c, conn, err := r.shake(&tls.Config{ServerName: name, ClientSessionCache: cache, MaxVersion: version, NextProtos: []string{"http/1.1"}})
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
		options := map[string]string{"a.example": "tls-suites=" + gcm, "b.example": "tls-suites=" + gcm + "," + cbc, "c.example": "", "d.example": "", "*": ""}
		r.applySnapshot(policies(t, b.addr, pair, options))
		for i, step := range []struct {
			name string
			want bool
		}{
			{"a.example", false},
			{"a.example", true},
			{"b.example", false},
			{"b.example", true},
			{"c.example", false},
			{"c.example", true},
			{"d.example", true},
			{"a.example", false},
		} {
			if got := resumes(step.name); got != step.want {
				t.Errorf("version %x, step %d: %s resumes %v", version, i, step.name, got)
			}
		}
		options["a.example"] = "tls-suites=" + gcm + ",TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"
		r.applySnapshot(policies(t, b.addr, pair, options))
		if resumes("a.example") {
			t.Errorf("version %x resumes after its policy changed", version)
		}
		if !resumes("a.example") {
			t.Errorf("version %x does not resume under the new policy", version)
		}
	}
}

// oneSession offers the last session for whatever name.
type oneSession struct{ cache tls.ClientSessionCache }

func (s oneSession) Get(string) (*tls.ClientSessionState, bool)  { return s.cache.Get("") }
func (s oneSession) Put(_ string, state *tls.ClientSessionState) { s.cache.Put("", state) }

// TestHybridKeyExchange: X25519MLKEM768 is agreed upon with a client that has
// Go's defaults, with a policy and without.
func TestHybridKeyExchange(t *testing.T) {
	b := newBackend(t, always(ok2))
	r := newRig(t, nil)
	r.applySnapshot(policies(t, b.addr, newKeyPair(t, "x"), map[string]string{"a.example": "tls-min=1.3", "*": ""}))
	for _, name := range []string{"a.example", "b.example"} {
		_, conn, err := r.shake(&tls.Config{ServerName: name})
		if err != nil {
			t.Fatal(err)
		}
		if got := conn.ConnectionState().CurveID; got != tls.X25519MLKEM768 {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestPoliciesAskClientsToo: who must show a certificate must where a name has a
// policy of its own.
func TestPoliciesAskClientsToo(t *testing.T) {
	b := newBackend(t, always(ok2))
	r := newRig(t, nil)
	ca := newAuthority(t)
	for name, auth := range map[string]struct {
		pem    []byte
		served bool
	}{"an authority": {ca.pem, true}, "a bundle without one": {[]byte("nothing"), false}} {
		s := asking(t, b.addr, newKeyPair(t, "x"), model.RequireCertificate, auth.pem)
		parts := s.Parts
		for i := range parts.Config.Listeners {
			for j := range parts.Config.Listeners[i].Certificates {
				parts.Config.Listeners[i].Certificates[j].Policy = &model.TLSPolicy{MinVersion: model.TLS13}
			}
		}
		if _, err := r.proxy.Apply(model.Freeze(parts)); err != nil { // one of them reports that it refuses all
			t.Fatal(err)
		}
		if _, served := r.served(&tls.Config{ServerName: "x"}); served {
			t.Errorf("%s: a client without a certificate is served", name)
		}
		if _, served := r.served(&tls.Config{ServerName: "x", Certificates: []tls.Certificate{ca.client(nil)}}); served != auth.served {
			t.Errorf("%s: a client with a certificate is served: %v", name, served)
		}
	}
}
