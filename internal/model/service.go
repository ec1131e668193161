package model

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Balance is the balancing policy of a Service.
type Balance uint8

const (
	// RoundRobin picks the endpoints in turn.
	RoundRobin Balance = iota
	// LeastRequest picks the less busy of two random endpoints.
	LeastRequest
)

// BackendProtocol is the protocol that the endpoints of a Service speak.
type BackendProtocol uint8

const (
	// HTTP1 is HTTP/1.1.
	HTTP1 BackendProtocol = iota
	// HTTP2 is HTTP/2: with prior knowledge (RFC 9113 §3.3) in plain text, and as the
	// only protocol offered by ALPN over TLS.
	HTTP2
	// Negotiated is HTTP/2 or HTTP/1.1, as the endpoint chooses by ALPN. It needs TLS.
	Negotiated
	// Opaque is a stream of bytes; over TLS, no ALPN is offered.
	Opaque
)

// ProxyProtocol is the version of the PROXY protocol header at the start of connections
// to endpoints. The header names the client's connection, so clients never share such
// connections.
type ProxyProtocol uint8

const (
	// NoProxyProtocol sends no header.
	NoProxyProtocol ProxyProtocol = iota
	// ProxyV1 is the text header, and ProxyV2 the binary one (haproxy's
	// proxy-protocol.txt).
	ProxyV1
	ProxyV2
)

// Service is one port of a Kubernetes Service with one protocol and one kind of TLS. A
// port to which several apply is several Services.
type Service struct {
	ID       ServiceID       `cbor:"1,keyasint" json:"id"`
	Balance  Balance         `cbor:"2,keyasint,omitempty" json:"balance,omitempty"`
	Protocol BackendProtocol `cbor:"3,keyasint,omitempty" json:"protocol,omitempty"`
	// TLS secures the connections to the endpoints; nil is plain text.
	TLS *UpstreamTLS `cbor:"4,keyasint,omitempty" json:"tls,omitempty"`
	// ProxyProtocol is the header that is sent on each connection, before TLS.
	ProxyProtocol ProxyProtocol `cbor:"5,keyasint,omitempty" json:"sendProxy,omitempty"`
}

// UpstreamTLS says how an endpoint is verified: the names that it must have, and the
// authorities that must vouch for them.
type UpstreamTLS struct {
	// ServerName is sent to the endpoint (SNI); empty sends none. It is not verified.
	ServerName string `cbor:"1,keyasint,omitempty" json:"serverName,omitempty"`
	// Names and URIs are subject alternative names, of which the endpoint's certificate
	// must have one. A name is a DNS name, or "*." and a DNS name.
	Names []string `cbor:"2,keyasint,omitempty" json:"names,omitempty"`
	URIs  []string `cbor:"3,keyasint,omitempty" json:"uris,omitempty"`
	// Bundles are the names of the Bundles that hold the trusted authorities.
	Bundles []string `cbor:"4,keyasint,omitempty" json:"bundles,omitempty"`
	// SystemRoots also trusts the roots of the proxy's system.
	SystemRoots bool `cbor:"5,keyasint,omitempty" json:"systemRoots,omitempty"`
	// Unverified accepts any certificate. It is set only if the user's resource says so.
	Unverified bool `cbor:"6,keyasint,omitempty" json:"unverified,omitempty"`
	// MaxChain bounds the number of certificates in a chain, from the endpoint's to the
	// authority's, both included; 0 is no bound.
	MaxChain int `cbor:"7,keyasint,omitempty" json:"maxChain,omitempty"`
	// Certificate is the name of the Secret with the proxy's client certificate. If
	// empty, the listener's BackendCertificate is used, if there is one.
	Certificate string `cbor:"8,keyasint,omitempty" json:"certificate,omitempty"`
	// Policy limits the TLS versions and cipher suites; nil is TLS 1.2 or newer with the
	// suites of crypto/tls.
	Policy *TLSPolicy `cbor:"9,keyasint,omitempty" json:"policy,omitempty"`
}

// Equal reports whether two Services have the same content.
func (s Service) Equal(other Service) bool {
	if s.TLS == nil || other.TLS == nil {
		return s == other
	}
	return bytes.Equal(encode(s), encode(other))
}

var (
	balanceNames         = []string{RoundRobin: "round-robin", LeastRequest: "least-request"}
	proxyProtocolNames   = []string{NoProxyProtocol: "none", ProxyV1: "v1", ProxyV2: "v2"}
	backendProtocolNames = []string{HTTP1: "http1", HTTP2: "http2", Negotiated: "negotiated", Opaque: "opaque"}
)

// MarshalText returns the policy's word.
func (b Balance) MarshalText() ([]byte, error) { return []byte(balanceNames[b]), nil }

// MarshalText returns the protocol's word.
func (p BackendProtocol) MarshalText() ([]byte, error) { return []byte(backendProtocolNames[p]), nil }

// MarshalText returns the version's word.
func (p ProxyProtocol) MarshalText() ([]byte, error) { return []byte(proxyProtocolNames[p]), nil }

func (w *textWriter) service(s Service) {
	words := []string{"service", s.ID.String(), balanceNames[s.Balance]}
	if s.Protocol != HTTP1 {
		words = append(words, "protocol="+backendProtocolNames[s.Protocol])
	}
	if s.ProxyProtocol != NoProxyProtocol {
		words = append(words, "send-proxy="+proxyProtocolNames[s.ProxyProtocol])
	}
	w.line(append(words, s.TLS.words()...)...)
}

func (t *UpstreamTLS) words() []string {
	if t == nil {
		return nil
	}
	words := []string{"tls", flag(t.Unverified, "unverified"), option("server-name", t.ServerName)}
	for _, list := range []struct {
		key    string
		values []string
	}{{"name", t.Names}, {"uri", t.URIs}, {"ca", t.Bundles}} {
		for _, value := range list.values {
			words = append(words, list.key+"="+value)
		}
	}
	words = append(words, flag(t.SystemRoots, "system-roots"), option("max-chain", number(int64(t.MaxChain))), option("certificate", t.Certificate))
	return append(words, t.Policy.words()...)
}

// upstreamOptions read the options that follow tls.
var upstreamOptions = map[string]func(*UpstreamTLS, string) error{
	"unverified":   func(t *UpstreamTLS, _ string) error { t.Unverified = true; return nil },
	"server-name":  func(t *UpstreamTLS, v string) error { t.ServerName = v; return nil },
	"name":         func(t *UpstreamTLS, v string) error { t.Names = append(t.Names, v); return nil },
	"uri":          func(t *UpstreamTLS, v string) error { t.URIs = append(t.URIs, v); return nil },
	"ca":           func(t *UpstreamTLS, v string) error { t.Bundles = append(t.Bundles, v); return nil },
	"system-roots": func(t *UpstreamTLS, _ string) error { t.SystemRoots = true; return nil },
	"max-chain":    func(t *UpstreamTLS, v string) (err error) { t.MaxChain, err = strconv.Atoi(v); return err },
	"certificate":  func(t *UpstreamTLS, v string) error { t.Certificate = v; return nil },
	"tls-min":      func(t *UpstreamTLS, v string) error { return setMin(&t.Policy, v) },
	"tls-suites":   func(t *UpstreamTLS, v string) error { return setSuites(&t.Policy, v) },
}

func (p *textParser) service(w []string) error {
	balance, err := indexOf[Balance](balanceNames, w[1], "balance")
	if err != nil {
		return err
	}
	s := Service{ID: ParseServiceID(w[0]), Balance: balance}
	for _, word := range w[2:] {
		if err := s.option(word); err != nil {
			return err
		}
	}
	p.parts.Config.Services = append(p.parts.Config.Services, s)
	return nil
}

func (s *Service) option(word string) (err error) {
	key, value, _ := strings.Cut(word, "=")
	read, known := upstreamOptions[key]
	switch {
	case key == "protocol":
		s.Protocol, err = indexOf[BackendProtocol](backendProtocolNames, value, "protocol")
		return err
	case key == "send-proxy":
		s.ProxyProtocol, err = indexOf[ProxyProtocol](proxyProtocolNames, value, "version of the PROXY protocol")
		return err
	case key == "tls":
		s.TLS = &UpstreamTLS{}
		return nil
	case !known:
		return fmt.Errorf("unknown option %q of a service", key)
	case s.TLS == nil:
		return fmt.Errorf("%s: %w", key, errNothingAbove)
	}
	if err := read(s.TLS, value); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}

// service checks a Service. Secrets and bundles must have been checked before.
func (v *validator) service(s Service) {
	v.serviceID("service", s.ID)
	v.check(!v.services[s.ID], "service %s stands twice", s.ID)
	v.services[s.ID] = true
	v.check(s.Balance <= LeastRequest, "service %s: unknown balance %d", s.ID, s.Balance)
	v.check(s.Protocol <= Opaque, "service %s: unknown protocol %d", s.ID, s.Protocol)
	v.check(s.Protocol != Negotiated || s.TLS != nil, "service %s: a protocol is negotiated over TLS only", s.ID)
	v.check(s.ProxyProtocol <= ProxyV2, "service %s: unknown version %d of the PROXY protocol", s.ID, s.ProxyProtocol)
	v.proxied[s.ID] = s.ProxyProtocol != NoProxyProtocol
	v.spoken[s.ID] = s.Protocol != Opaque && (s.TLS != nil || s.Protocol != HTTP1)
	v.secured[s.ID] = s.TLS != nil
	if s.TLS != nil {
		v.upstreamTLS(s.ID.String(), s.TLS)
	}
}

func (v *validator) upstreamTLS(id string, t *UpstreamTLS) {
	asks := len(t.Names)+len(t.URIs)+len(t.Bundles)+t.MaxChain > 0 || t.SystemRoots
	if t.Unverified {
		v.check(!asks, "service %s: what is not verified is not to be verified by anything", id)
	} else {
		v.check(len(t.Names)+len(t.URIs) > 0, "service %s: TLS without a name to verify", id)
		v.check(len(t.Bundles) > 0 || t.SystemRoots, "service %s: TLS without an authority to verify by", id)
	}
	v.tlsPolicy("service "+id, t.Policy)
	v.check(t.MaxChain == 0 || t.MaxChain >= 2, "service %s: a chain of %d certificates", id, t.MaxChain)
	if err := t.ValidateNames(); err != nil {
		v.check(false, "service %s: %v", id, err)
	}
	for _, name := range t.Bundles {
		v.check(v.bundles[name], "service %s: no bundle %s", id, name)
	}
	v.check(t.Certificate == "" || v.secrets[t.Certificate], "service %s: no secret %s", id, t.Certificate)
}

// ValidateNames returns what is wrong with the names.
func (t *UpstreamTLS) ValidateNames() error {
	for _, text := range slices.Concat([]string{t.ServerName}, t.Names, t.URIs) {
		if strings.ContainsFunc(text, func(c rune) bool { return c <= ' ' || c >= 0x7f }) {
			return fmt.Errorf("%q is no name", text)
		}
	}
	if slices.Contains(t.Names, "") || slices.Contains(t.URIs, "") {
		return errors.New("an empty name to verify")
	}
	return nil
}
