package upstream

import (
	"cmp"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
	"unique"

	"windrose.dev/windrose/internal/model"
)

// Key tells apart what connections to endpoints must not be shared over: two
// connections with one Key lead to the same place, were verified in the same
// way by the same authorities, show the same certificate of ours, and speak TLS
// under one policy.
type Key struct {
	Addr netip.AddrPort
	// Identity is the zero Handle for plain text: there are many Keys, and few
	// identities.
	Identity unique.Handle[Identity]
	Protocol model.BackendProtocol
	// ProxyProtocol is not none for connections that are not shared at all.
	ProxyProtocol model.ProxyProtocol
}

// Identity is who both ends of a connection over TLS are.
type Identity struct {
	// Verified is a digest of what is verified of the endpoint.
	Verified string
	// Trust is a digest of the authorities.
	Trust string
	// Client is the digest of the certificate that we show; empty is none.
	Client string
	// Policy is which TLS is spoken, as text; empty is the default.
	Policy string
}

// TLSConfig is what a TLS is made of.
type TLSConfig struct {
	// Service asks for TLS.
	Service *model.Service
	Bundles Bundles
	// Client is the certificate that we show, nil for none, and ClientDigest its
	// Secret's digest.
	Client       *tls.Certificate
	ClientDigest string
	// Sessions may be nil: nothing is resumed then.
	Sessions *Sessions
	// SystemRoots gives the authorities of the system; nil is those of crypto/x509.
	SystemRoots func() (*x509.CertPool, error)
	// Time is the present; nil is the clock's.
	Time func() time.Time
}

// TLS secures connections to the endpoints of a service. It is read-only and
// may be shared.
type TLS struct {
	// Config is for tls.Client, one for all connections.
	Config   *tls.Config
	Identity Identity

	protocol model.BackendProtocol
	handle   unique.Handle[Identity]
}

// What handshakes fail by; the errors that wrap them say why.
var (
	// ErrUnverified: the endpoint is not who it should be.
	ErrUnverified = errors.New("the endpoint is not who it should be")
	// ErrProtocol: the endpoint does not choose a protocol that is offered.
	ErrProtocol = errors.New("the endpoint does not speak the protocol")
)

// CertificateFor names the Secret that is shown to the endpoints of a service
// on behalf of a listener's clients; empty is none.
func CertificateFor(s *model.Service, l *model.Listener) string {
	if s.TLS == nil {
		return ""
	}
	return cmp.Or(s.TLS.Certificate, l.BackendCertificate)
}

// NewTLS makes the TLS of a service. Without all that it names there is none:
// the error says what is missing.
func NewTLS(cfg TLSConfig) (*TLS, error) {
	spec := cfg.Service.TLS
	v := &verifier{spec: spec, protocol: cfg.Service.Protocol, time: cfg.Time}
	if v.time == nil {
		v.time = time.Now
	}
	trust, err := v.readRoots(cfg)
	if err != nil {
		return nil, fmt.Errorf("service %s: %w", cfg.Service.ID, err)
	}
	out := &TLS{protocol: cfg.Service.Protocol, Identity: Identity{Verified: verified(spec), Trust: trust, Client: cfg.ClientDigest, Policy: spec.Policy.String()}}
	out.handle = unique.Make(out.Identity)
	out.Config = &tls.Config{
		MinVersion: tls.VersionTLS12,
		ServerName: spec.ServerName,
		NextProtos: alpn[cfg.Service.Protocol],
		Time:       cfg.Time,
		// crypto/tls would verify ServerName, and nothing else. VerifyConnection
		// is called for every handshake, resumed ones among them.
		InsecureSkipVerify: true,
		VerifyConnection:   v.connection,
	}
	setPolicy(out.Config, cfg.Service)
	if cfg.Client != nil {
		out.Config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cfg.Client, nil }
	}
	if cfg.Sessions != nil {
		out.Config.ClientSessionCache = cfg.Sessions.of(Key{Protocol: out.protocol, Identity: out.handle})
	}
	return out, nil
}

// setPolicy has connections speak as the service's policy says, and leaves what it
// does not; but where HTTP/2 is all that is spoken, no suite that is none for it (RFC
// 9113 §9.2.2).
func setPolicy(config *tls.Config, s *model.Service) {
	policy := s.TLS.Policy
	switch {
	case policy != nil && len(policy.Suites) > 0:
		config.CipherSuites = model.SuiteIDs(policy.Suites)
	case s.Protocol == model.HTTP2:
		config.CipherSuites = model.SuiteIDs(model.AEADSuites())
	}
	if policy != nil && policy.MinVersion == model.TLS13 {
		config.MinVersion = tls.VersionTLS13
	}
}

// Key is what connections to an endpoint are shared by. A nil TLS is plain text.
func (t *TLS) Key(addr netip.AddrPort, protocol model.BackendProtocol) Key {
	if t == nil {
		return Key{Addr: addr, Protocol: protocol}
	}
	return Key{Addr: addr, Protocol: t.protocol, Identity: t.handle}
}

// alpn is what is offered for each protocol (RFC 7301).
var alpn = map[model.BackendProtocol][]string{
	model.HTTP1: {"http/1.1"}, model.HTTP2: {"h2"}, model.Negotiated: {"h2", "http/1.1"},
}

// verified is a digest of what is verified of an endpoint.
func verified(spec *model.UpstreamTLS) string {
	return digestOf(fmt.Sprintf("%q %q %q %v %d", spec.ServerName, spec.Names, spec.URIs, spec.Unverified, spec.MaxChain))
}

func digestOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// verifier verifies the endpoints of one service.
type verifier struct {
	spec     *model.UpstreamTLS
	protocol model.BackendProtocol
	roots    *x509.CertPool
	time     func() time.Time
}

// readRoots gathers the authorities, and returns a digest of them.
func (v *verifier) readRoots(cfg TLSConfig) (digest string, err error) {
	if v.spec.Unverified {
		return "", nil
	}
	v.roots = x509.NewCertPool()
	var parts []string
	if v.spec.SystemRoots {
		system := cfg.SystemRoots
		if system == nil {
			system = x509.SystemCertPool
		}
		roots, err := system()
		if err != nil {
			return "", fmt.Errorf("the authorities of the system: %w", err)
		}
		v.roots = roots.Clone()
		parts = append(parts, "system")
	}
	for _, name := range v.spec.Bundles {
		bundle, err := cfg.Bundles.Get(name)
		if err != nil {
			return "", err
		}
		if !v.roots.AppendCertsFromPEM(bundle.PEM) {
			return "", fmt.Errorf("bundle %s holds no certificate", name)
		}
		parts = append(parts, bundle.Digest)
	}
	slices.Sort(parts)
	return digestOf(strings.Join(parts, "\n")), nil
}

// connection is called when a handshake is nearly done.
func (v *verifier) connection(state tls.ConnectionState) error {
	if v.protocol == model.HTTP2 && state.NegotiatedProtocol != "h2" {
		return fmt.Errorf("%w: it does not choose HTTP/2 by ALPN", ErrProtocol)
	}
	if v.spec.Unverified {
		return nil
	}
	if len(state.PeerCertificates) == 0 {
		return fmt.Errorf("%w: it shows no certificate", ErrUnverified)
	}
	if err := v.chain(state.PeerCertificates); err != nil {
		return fmt.Errorf("%w: %w", ErrUnverified, err)
	}
	return v.names(state.PeerCertificates[0])
}

// chain verifies that an authority vouches for the endpoint.
func (v *verifier) chain(certificates []*x509.Certificate) error {
	intermediates := x509.NewCertPool()
	for _, cert := range certificates[1:] {
		intermediates.AddCert(cert)
	}
	chains, err := certificates[0].Verify(x509.VerifyOptions{
		Roots: v.roots, Intermediates: intermediates, CurrentTime: v.time(),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		return err
	}
	short := func(chain []*x509.Certificate) bool { return v.spec.MaxChain == 0 || len(chain) <= v.spec.MaxChain }
	if !slices.ContainsFunc(chains, short) {
		return fmt.Errorf("its chain has more than %d certificates", v.spec.MaxChain)
	}
	return nil
}

// names verifies that the endpoint has one of the names that are asked for.
func (v *verifier) names(cert *x509.Certificate) error {
	for _, name := range v.spec.Names {
		if hasName(cert, name) {
			return nil
		}
	}
	for _, uri := range v.spec.URIs {
		if hasURI(cert, uri) {
			return nil
		}
	}
	return fmt.Errorf("%w: its certificate is for %s, not for %s", ErrUnverified, listOf(namesOf(cert)), listOf(slices.Concat(v.spec.Names, v.spec.URIs)))
}

// hasName reports whether a certificate is for a DNS name (RFC 6125), or, where
// the name is a wildcard, for it or for a name with one more label.
func hasName(cert *x509.Certificate, name string) bool {
	parent, wildcard := strings.CutPrefix(name, "*.")
	if !wildcard {
		return cert.VerifyHostname(name) == nil
	}
	for _, has := range cert.DNSNames {
		label, rest, found := strings.Cut(has, ".")
		if found && label != "" && strings.EqualFold(rest, parent) {
			return true
		}
	}
	return false
}

// hasURI reports whether a certificate is for a URI. One for a SPIFFE ID has no
// other URI (X.509-SVID §2).
func hasURI(cert *x509.Certificate, uri string) bool {
	if strings.HasPrefix(uri, "spiffe://") && len(cert.URIs) != 1 {
		return false
	}
	for _, has := range cert.URIs {
		if has.String() == uri {
			return true
		}
	}
	return false
}

func namesOf(cert *x509.Certificate) []string {
	out := slices.Clone(cert.DNSNames)
	for _, uri := range cert.URIs {
		out = append(out, uri.String())
	}
	return out
}

// maxListed bounds the names in an error: a certificate may have thousands.
const maxListed = 8

func listOf(names []string) string {
	switch n := len(names); {
	case n == 0:
		return "no name"
	case n > maxListed:
		return strings.Join(names[:maxListed], ", ") + fmt.Sprintf(" and %d more", n-maxListed)
	}
	return strings.Join(names, ", ")
}

// maxSessions is how many sessions are kept of one identity.
const maxSessions = 64

// Sessions keep TLS sessions with endpoints over Generations, apart for each
// identity: one is never resumed where something else would be verified. Its
// methods may be called from any goroutine.
type Sessions struct {
	mu     sync.Mutex
	caches map[Key]tls.ClientSessionCache // the Key has no address
}

func (s *Sessions) of(key Key) tls.ClientSessionCache {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.caches == nil {
		s.caches = map[Key]tls.ClientSessionCache{}
	}
	if s.caches[key] == nil {
		s.caches[key] = tls.NewLRUClientSessionCache(maxSessions)
	}
	return s.caches[key]
}

// Retain forgets the sessions of identities that none of the TLS has.
func (s *Sessions) Retain(used []*TLS) {
	keep := map[Key]bool{}
	for _, t := range used {
		keep[Key{Protocol: t.protocol, Identity: t.handle}] = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for key := range s.caches {
		if !keep[key] {
			delete(s.caches, key)
		}
	}
}
