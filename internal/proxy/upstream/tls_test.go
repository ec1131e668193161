package upstream_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy/upstream"
)

// authority signs certificates.
type authority struct {
	t      *testing.T
	cert   *x509.Certificate
	key    *ecdsa.PrivateKey
	parent *authority
}

func newAuthority(t *testing.T, parent *authority) *authority {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	a := &authority{t: t, key: key, parent: parent}
	by, byKey := template, key
	if parent != nil {
		by, byKey = parent.cert, parent.key
		template.Subject.CommonName = "intermediate"
	}
	a.cert = sign(t, template, by, key, byKey)
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t *testing.T, template, by *x509.Certificate, key, byKey *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, by, &key.PublicKey, byKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// issue signs a certificate for names; those with a scheme are URIs.
func (a *authority) issue(usage x509.ExtKeyUsage, names ...string) *tls.Certificate {
	a.t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "peer"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{usage},
	}
	for _, name := range names {
		if uri, err := url.Parse(name); err == nil && uri.Scheme != "" {
			template.URIs = append(template.URIs, uri)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	key := newKey(a.t)
	out := &tls.Certificate{PrivateKey: key, Certificate: [][]byte{sign(a.t, template, a.cert, key, a.key).Raw}}
	for above := a; above.parent != nil; above = above.parent {
		out.Certificate = append(out.Certificate, above.cert.Raw)
	}
	return out
}

func (a *authority) bundle(name string) model.Bundle {
	return model.Freeze(model.Parts{Bundles: []model.Bundle{{
		Name: name, PEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}),
	}}}).Bundles[0]
}

func (a *authority) bundles() upstream.Bundles {
	b := a.bundle("ca")
	return upstream.Bundles{"ca": &b}
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// endpoint serves TLS on loopback and answers a connection with a byte.
func endpoint(t *testing.T, cfg *tls.Config) string {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close()
				if conn.(*tls.Conn).Handshake() == nil {
					conn.Write([]byte("!"))
					io.Copy(io.Discard, conn)
				}
			})
		}
	})
	t.Cleanup(func() { l.Close(); serving.Wait() })
	return l.Addr().String()
}

// shake connects to an endpoint, and reads its byte: with TLS 1.3 only then is
// it known whether it takes us, and do its tickets come.
func shake(t *testing.T, addr string, cfg *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(20 * time.Second))
	conn := tls.Client(nc, cfg)
	if err := conn.Handshake(); err != nil {
		return tls.ConnectionState{}, err
	}
	_, err = io.ReadFull(conn, make([]byte, 1))
	return conn.ConnectionState(), err
}

func newTLS(t *testing.T, cfg upstream.TLSConfig) *upstream.TLS {
	t.Helper()
	out, err := upstream.NewTLS(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func service(protocol model.BackendProtocol, spec model.UpstreamTLS) *model.Service {
	return &model.Service{ID: model.ParseServiceID("ns/s:443"), Protocol: protocol, TLS: &spec}
}

func TestEndpointsAreVerified(t *testing.T) {
	ours, theirs := newAuthority(t, nil), newAuthority(t, nil)
	below := newAuthority(t, newAuthority(t, ours))
	server := func(names ...string) *tls.Certificate { return ours.issue(x509.ExtKeyUsageServerAuth, names...) }
	const id = "spiffe://example.com/ns/shop/sa/pay"
	dns := func(names ...string) model.UpstreamTLS {
		return model.UpstreamTLS{ServerName: "pay.example.com", Names: names, Bundles: []string{"ca"}}
	}
	uris := func(uris ...string) model.UpstreamTLS {
		return model.UpstreamTLS{ServerName: "pay.example.com", URIs: uris, Bundles: []string{"ca"}}
	}
	bounded := dns("pay.example.com")
	bounded.MaxChain = 3
	for _, test := range []struct {
		name   string
		spec   model.UpstreamTLS
		server *tls.Certificate
		why    string // empty: it is taken
	}{
		{"its name", dns("pay.example.com"), server("pay.example.com"), ""},
		{"another name", dns("pay.example.com"), server("other.example.com"), "its certificate is for other.example.com, not for pay.example.com"},
		{"a wildcard certificate", dns("pay.example.com"), server("*.example.com"), ""},
		{"the name that is sent is not what counts", dns("bank.example.com"), server("pay.example.com"), "not for bank.example.com"},
		{"one of several names", dns("bank.example.com", "pay.example.com"), server("pay.example.com"), ""},
		{"a wildcard", dns("*.example.com"), server("pay.example.com"), ""},
		{"a wildcard of one label", dns("*.example.com"), server("a.pay.example.com"), "not for *.example.com"},
		{"a URI", uris(id), server(id, "unrelated.example.com"), ""},
		{"another URI", uris(id), server("spiffe://example.com/ns/shop/sa/other"), "not for " + id},
		{"two URIs beside a SPIFFE ID", uris(id), server(id, "https://example.com"), "not for " + id},
		{"a name instead of a URI", uris(id), server("pay.example.com"), "not for " + id},
		{"nobody's certificate", dns("pay.example.com"), theirs.issue(x509.ExtKeyUsageServerAuth, "pay.example.com"), "unknown authority"},
		{"a client's certificate", dns("pay.example.com"), ours.issue(x509.ExtKeyUsageClientAuth, "pay.example.com"), "incompatible key usage"},
		{"a long chain", dns("pay.example.com"), below.issue(x509.ExtKeyUsageServerAuth, "pay.example.com"), ""},
		{"a chain that is too long", bounded, below.issue(x509.ExtKeyUsageServerAuth, "pay.example.com"), "more than 3 certificates"},
		{"unverified, as the user says", model.UpstreamTLS{Unverified: true}, theirs.issue(x509.ExtKeyUsageServerAuth), ""},
	} {
		got := make(chan string, 4)
		addr := endpoint(t, &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			got <- hello.ServerName
			return test.server, nil
		}})
		secure := newTLS(t, upstream.TLSConfig{Service: service(model.HTTP1, test.spec), Bundles: ours.bundles()})
		_, err := shake(t, addr, secure.Config)
		switch {
		case test.why == "" && err != nil:
			t.Errorf("%s: %v", test.name, err)
		case test.why != "" && (!errors.Is(err, upstream.ErrUnverified) || !strings.Contains(err.Error(), test.why)):
			t.Errorf("%s: got %v, want %q", test.name, err, test.why)
		}
		if name := <-got; name != test.spec.ServerName {
			t.Errorf("%s: server name %q", test.name, name)
		}
	}
}

func TestSystemRoots(t *testing.T) {
	system, other := newAuthority(t, nil), newAuthority(t, nil)
	addr := endpoint(t, &tls.Config{Certificates: []tls.Certificate{*system.issue(x509.ExtKeyUsageServerAuth, "pay.example.com")}})
	for name, test := range map[string]struct {
		roots *x509.CertPool
		taken bool
	}{"those of the system": {system.pool(), true}, "others": {other.pool(), false}} {
		secure := newTLS(t, upstream.TLSConfig{
			Service:     service(model.HTTP1, model.UpstreamTLS{Names: []string{"pay.example.com"}, SystemRoots: true}),
			SystemRoots: func() (*x509.CertPool, error) { return test.roots, nil },
		})
		if _, err := shake(t, addr, secure.Config); (err == nil) != test.taken {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestProtocolsAreNegotiated(t *testing.T) {
	ca := newAuthority(t, nil)
	for _, test := range []struct {
		protocol model.BackendProtocol
		offers   []string // of the endpoint
		want     string
		err      bool
	}{
		{model.HTTP1, []string{"h2", "http/1.1"}, "http/1.1", false},
		{model.HTTP1, nil, "", false},
		{model.HTTP2, []string{"h2", "http/1.1"}, "h2", false},
		{model.HTTP2, []string{"http/1.1"}, "", true},
		{model.HTTP2, nil, "", true},
		{model.Negotiated, []string{"h2"}, "h2", false},
		{model.Negotiated, []string{"http/1.1"}, "http/1.1", false},
		{model.Negotiated, nil, "", false},
	} {
		addr := endpoint(t, &tls.Config{Certificates: []tls.Certificate{*ca.issue(x509.ExtKeyUsageServerAuth, "a")}, NextProtos: test.offers})
		secure := newTLS(t, upstream.TLSConfig{Service: service(test.protocol, model.UpstreamTLS{Unverified: true})})
		state, err := shake(t, addr, secure.Config)
		if (err != nil) != test.err || state.NegotiatedProtocol != test.want {
			t.Errorf("protocol %d with %v: %q, %v", test.protocol, test.offers, state.NegotiatedProtocol, err)
		}
	}
	old := endpoint(t, &tls.Config{Certificates: []tls.Certificate{*ca.issue(x509.ExtKeyUsageServerAuth, "a")}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
	if _, err := shake(t, old, newTLS(t, upstream.TLSConfig{Service: service(model.HTTP1, model.UpstreamTLS{Unverified: true})}).Config); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
}

// TestPoliciesOfServices: an endpoint that has nothing in common with what the
// service asks for is not spoken to.
func TestPoliciesOfServices(t *testing.T) {
	const gcm, cbc = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA"
	cert := *newAuthority(t, nil).issue(x509.ExtKeyUsageServerAuth, "a")
	for _, test := range []struct {
		policy *model.TLSPolicy
		most   uint16 // the endpoint's highest version
		suite  string // the endpoint's only one of TLS 1.2
		taken  bool
	}{
		{nil, tls.VersionTLS12, gcm, true},
		{nil, tls.VersionTLS13, gcm, true},
		{&model.TLSPolicy{MinVersion: model.TLS12}, tls.VersionTLS12, gcm, true},
		{&model.TLSPolicy{MinVersion: model.TLS13}, tls.VersionTLS12, gcm, false},
		{&model.TLSPolicy{MinVersion: model.TLS13}, tls.VersionTLS13, gcm, true},
		{&model.TLSPolicy{Suites: []string{gcm}}, tls.VersionTLS12, gcm, true},
		{&model.TLSPolicy{Suites: []string{gcm}}, tls.VersionTLS12, cbc, false},
		{&model.TLSPolicy{Suites: []string{cbc}}, tls.VersionTLS12, cbc, true},
		{&model.TLSPolicy{Suites: []string{gcm}}, tls.VersionTLS13, cbc, true},
	} {
		addr := endpoint(t, &tls.Config{Certificates: []tls.Certificate{cert}, MaxVersion: test.most, CipherSuites: model.SuiteIDs([]string{test.suite})})
		secure := newTLS(t, upstream.TLSConfig{Service: service(model.HTTP1, model.UpstreamTLS{Unverified: true, Policy: test.policy})})
		if _, err := shake(t, addr, secure.Config); (err == nil) != test.taken {
			t.Errorf("%q with %s up to %x: %v", test.policy, test.suite, test.most, err)
		}
	}
}

func TestOurCertificateIsShown(t *testing.T) {
	ca := newAuthority(t, nil)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		addr := endpoint(t, &tls.Config{
			Certificates: []tls.Certificate{*ca.issue(x509.ExtKeyUsageServerAuth, "a")}, MaxVersion: version,
			ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.pool(),
		})
		ask := func(client *tls.Certificate) error {
			spec := model.UpstreamTLS{Names: []string{"a"}, Bundles: []string{"ca"}}
			_, err := shake(t, addr, newTLS(t, upstream.TLSConfig{Service: service(model.HTTP1, spec), Bundles: ca.bundles(), Client: client}).Config)
			return err
		}
		if err := ask(ca.issue(x509.ExtKeyUsageClientAuth, "gateway")); err != nil {
			t.Errorf("TLS %x: %v", version, err)
		}
		if ask(nil) == nil {
			t.Errorf("TLS %x: taken without a certificate", version)
		}
	}
}

// TestSessionsAreVerifiedAgain: a session is resumed for the identity that it
// was made with, and verified when it is.
func TestSessionsAreVerifiedAgain(t *testing.T) {
	ca := newAuthority(t, nil)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		addr := endpoint(t, &tls.Config{Certificates: []tls.Certificate{*ca.issue(x509.ExtKeyUsageServerAuth, "a")}, MaxVersion: version})
		sessions, present := &upstream.Sessions{}, time.Now()
		secure := func(names ...string) *upstream.TLS {
			return newTLS(t, upstream.TLSConfig{
				Service: service(model.HTTP1, model.UpstreamTLS{ServerName: "a", Names: names, Bundles: []string{"ca"}}),
				Bundles: ca.bundles(), Sessions: sessions, Time: func() time.Time { return present },
			})
		}
		for i, resumed := range []bool{false, true} {
			if state, err := shake(t, addr, secure("a").Config); err != nil || state.DidResume != resumed {
				t.Errorf("TLS %x, round %d: resumed %v, %v", version, i, state.DidResume, err)
			}
		}
		if _, err := shake(t, addr, secure("b").Config); !errors.Is(err, upstream.ErrUnverified) {
			t.Errorf("TLS %x: another identity: %v", version, err)
		}
		sessions.Retain([]*upstream.TLS{secure("b")})
		if state, err := shake(t, addr, secure("a").Config); err != nil || state.DidResume {
			t.Errorf("TLS %x: resumed %v after its cache went, %v", version, state.DidResume, err)
		}
		present = present.Add(2 * time.Hour)
		if _, err := shake(t, addr, secure("a").Config); !errors.Is(err, upstream.ErrUnverified) {
			t.Errorf("TLS %x: an expired certificate: %v", version, err)
		}
	}
}

func TestNothingIsMadeWithoutAuthorities(t *testing.T) {
	spec := model.UpstreamTLS{Names: []string{"a"}, Bundles: []string{"ca"}}
	for why, bundles := range map[string]upstream.Bundles{
		"there is no bundle ca":         nil,
		"bundle ca has no certificates": {"ca": &model.Bundle{Name: "ca"}},
		"holds no certificate":          {"ca": &model.Bundle{Name: "ca", PEM: []byte("nothing")}},
	} {
		if _, err := upstream.NewTLS(upstream.TLSConfig{Service: service(model.HTTP1, spec), Bundles: bundles}); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("got %v, want %q", err, why)
		}
	}
	roots := func() (*x509.CertPool, error) { return nil, errors.New("no such file") }
	if _, err := upstream.NewTLS(upstream.TLSConfig{Service: service(model.HTTP1, model.UpstreamTLS{Names: []string{"a"}, SystemRoots: true}), SystemRoots: roots}); err == nil {
		t.Error("made without the authorities of the system")
	}
}

// TestKeysTellApart: connections are shared only where all that matters is the
// same.
func TestKeysTellApart(t *testing.T) {
	ca, other := newAuthority(t, nil), newAuthority(t, nil)
	addr := netip.MustParseAddrPort("127.0.0.1:443")
	base := func() upstream.TLSConfig {
		return upstream.TLSConfig{
			Service: service(model.HTTP1, model.UpstreamTLS{ServerName: "a", Names: []string{"a"}, Bundles: []string{"ca"}}), Bundles: ca.bundles(),
		}
	}
	key := func(change func(*upstream.TLSConfig)) upstream.Key {
		cfg := base()
		change(&cfg)
		return newTLS(t, cfg).Key(addr, cfg.Service.Protocol)
	}
	first := key(func(*upstream.TLSConfig) {})
	if again := key(func(cfg *upstream.TLSConfig) { cfg.Service.ID = model.ParseServiceID("ns/other:443") }); again != first {
		t.Error("two services with one identity have different keys")
	}
	var plain *upstream.TLS
	seen := map[upstream.Key]string{first: "the first", plain.Key(addr, model.HTTP1): "plain text", plain.Key(addr, model.HTTP2): "HTTP/2 in plain text"}
	for name, change := range map[string]func(*upstream.TLSConfig){
		"the protocol":      func(cfg *upstream.TLSConfig) { cfg.Service.Protocol = model.HTTP2 },
		"the server name":   func(cfg *upstream.TLSConfig) { cfg.Service.TLS.ServerName = "b" },
		"a name":            func(cfg *upstream.TLSConfig) { cfg.Service.TLS.Names = []string{"b"} },
		"a URI":             func(cfg *upstream.TLSConfig) { cfg.Service.TLS.URIs = []string{"spiffe://a"} },
		"the chain's bound": func(cfg *upstream.TLSConfig) { cfg.Service.TLS.MaxChain = 2 },
		"the authorities":   func(cfg *upstream.TLSConfig) { cfg.Bundles = other.bundles() },
		"the system's": func(cfg *upstream.TLSConfig) {
			cfg.Service.TLS.SystemRoots = true
			cfg.SystemRoots = func() (*x509.CertPool, error) { return x509.NewCertPool(), nil }
		},
		"our certificate": func(cfg *upstream.TLSConfig) { cfg.ClientDigest = "0c" },
		"unverified":      func(cfg *upstream.TLSConfig) { cfg.Service.TLS = &model.UpstreamTLS{Unverified: true} },
		"the version":     func(cfg *upstream.TLSConfig) { cfg.Service.TLS.Policy = &model.TLSPolicy{MinVersion: model.TLS13} },
		"the suites": func(cfg *upstream.TLSConfig) {
			cfg.Service.TLS.Policy = &model.TLSPolicy{Suites: []string{"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"}}
		},
	} {
		k := key(change)
		if same, found := seen[k]; found {
			t.Errorf("%s and %s have one key", name, same)
		}
		seen[k] = name
	}
	if len(seen) != 14 {
		t.Errorf("%d keys", len(seen))
	}
}

func TestCertificateFor(t *testing.T) {
	listener := &model.Listener{BackendCertificate: "infra/gateway"}
	for want, s := range map[string]*model.Service{
		"":              {},
		"infra/gateway": {TLS: &model.UpstreamTLS{}},
		"shop/own":      {TLS: &model.UpstreamTLS{Certificate: "shop/own"}},
	} {
		if got := upstream.CertificateFor(s, listener); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
