package model

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// TLSVersion is a version of TLS that is spoken. RFC 8996 forbids those before
// 1.2, and so does RFC 9113 §9.2 for HTTP/2.
type TLSVersion uint8

const (
	// TLSUnset leaves the version to the proxy.
	TLSUnset TLSVersion = iota
	// TLS12 and TLS13 are the versions themselves.
	TLS12
	TLS13
)

// TLSPolicy says which TLS is spoken. One that says nothing is nil.
type TLSPolicy struct {
	// MinVersion is the lowest version.
	MinVersion TLSVersion `cbor:"1,keyasint,omitempty" json:"minVersion,omitempty"`
	// Suites are the cipher suites of TLS 1.2, by the names that IANA gives them;
	// none leaves them to the proxy. Those of TLS 1.3 cannot be chosen: crypto/tls
	// has good ones only.
	Suites []string `cbor:"2,keyasint,omitempty" json:"suites,omitempty"`
}

// CipherSuite is a cipher suite of TLS 1.2 that may be chosen.
type CipherSuite struct {
	// Name is IANA's, and OpenSSL what ciphers(1) calls it.
	Name, OpenSSL string
	// ID is IANA's, too, and crypto/tls's.
	ID uint16
	// AEAD ones alone may be used for HTTP/2 (RFC 9113 appendix A).
	AEAD bool
}

var cipherSuites = []CipherSuite{
	{"TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", "ECDHE-ECDSA-AES128-SHA", tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, false},
	{"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256", tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, true},
	{"TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", "ECDHE-ECDSA-AES256-SHA", tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, false},
	{"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384", tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, true},
	{"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305", tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, true},
	{"TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", "ECDHE-RSA-AES128-SHA", tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, false},
	{"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256", tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, true},
	{"TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", "ECDHE-RSA-AES256-SHA", tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA, false},
	{"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "ECDHE-RSA-AES256-GCM-SHA384", tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, true},
	{"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-CHACHA20-POLY1305", tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, true},
}

// suitesOf13 are those of TLS 1.3, which lists may name to no effect.
var suitesOf13 = []string{"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}

// CipherSuites lists the suites that may be chosen, by name: those of
// crypto/tls for TLS 1.2 that it does not call insecure.
func CipherSuites() []CipherSuite { return slices.Clone(cipherSuites) }

// Always reports whether a cipher suite is one of TLS 1.3, which are not chosen.
func Always(suite string) bool { return slices.Contains(suitesOf13, suite) }

// AEADSuites are the names of those that may be used for HTTP/2 (RFC 9113 §9.2.2),
// which are also what ingress-nginx has by default.
func AEADSuites() []string {
	var names []string
	for _, s := range CipherSuites() {
		if s.AEAD {
			names = append(names, s.Name)
		}
	}
	return names
}

// SuiteNamed finds a suite by either of its names, or nil.
func SuiteNamed(name string) *CipherSuite {
	for i := range cipherSuites {
		if s := &cipherSuites[i]; s.Name == name || s.OpenSSL == name {
			return s
		}
	}
	return nil
}

// SuiteIDs are the numbers of suites that are known by IANA's names.
func SuiteIDs(names []string) []uint16 {
	ids := make([]uint16, 0, len(names))
	for _, name := range names {
		if s := SuiteNamed(name); s != nil {
			ids = append(ids, s.ID)
		}
	}
	return ids
}

// ErrSuites is wrapped by the errors of ParseSuites.
var ErrSuites = errors.New("not a list of cipher suites")

// ParseSuites reads suites by IANA's or OpenSSL's names, separated by commas.
// It returns IANA's, in order and each once. Those of TLS 1.3 are left out.
func ParseSuites(list string) ([]string, error) {
	var out []string
	for _, word := range strings.Split(list, ",") {
		name := strings.TrimSpace(word)
		if Always(name) {
			continue
		}
		suite := SuiteNamed(name)
		if suite == nil {
			return nil, fmt.Errorf("%w: %q is none that is spoken", ErrSuites, name)
		}
		out = append(out, suite.Name)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: it has none of TLS 1.2, and those of TLS 1.3 are always on", ErrSuites)
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// tlsVersionNames has no name for no version, which is not written.
var tlsVersionNames = []string{TLSUnset: "", TLS12: "1.2", TLS13: "1.3"}

// String is the number of the version.
func (v TLSVersion) String() string { return tlsVersionNames[v] }

// MarshalText writes the version as its number.
func (v TLSVersion) MarshalText() ([]byte, error) { return []byte(tlsVersionNames[v]), nil }

// ParseTLSVersion reads 1.2 or 1.3.
func ParseTLSVersion(text string) (TLSVersion, error) {
	above, err := indexOf[TLSVersion](tlsVersionNames[TLS12:], text, "version of TLS")
	if err != nil {
		return TLSUnset, err
	}
	return TLS12 + above, nil
}

// String is the policy as it stands in the text form.
func (p *TLSPolicy) String() string {
	w := &textWriter{}
	w.line(p.words()...)
	return strings.TrimSuffix(w.b.String(), "\n")
}

// words are the options of a policy, for the text form.
func (p *TLSPolicy) words() []string {
	if p == nil {
		return nil
	}
	return []string{option("tls-min", p.MinVersion.String()), option("tls-suites", strings.Join(p.Suites, ","))}
}

// certificateOptions read the options of a certificate.
var certificateOptions = map[string]func(*Certificate, string) error{
	"tls-min":    func(c *Certificate, v string) error { return setMin(&c.Policy, v) },
	"tls-suites": func(c *Certificate, v string) error { return setSuites(&c.Policy, v) },
}

// setMin and setSuites read into a policy, which they make if need be.
func setMin(to **TLSPolicy, text string) (err error) {
	if *to == nil {
		*to = &TLSPolicy{}
	}
	(*to).MinVersion, err = ParseTLSVersion(text)
	return err
}

func setSuites(to **TLSPolicy, list string) error {
	if *to == nil {
		*to = &TLSPolicy{}
	}
	(*to).Suites = strings.Split(list, ",")
	return nil
}

func (c *Certificate) option(word string) error {
	key, value, _ := strings.Cut(word, "=")
	read, known := certificateOptions[key]
	if !known {
		return fmt.Errorf("unknown option %q of a certificate", key)
	}
	if err := read(c, value); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}

// tlsPolicy checks the policy of something.
func (v *validator) tlsPolicy(of string, p *TLSPolicy) {
	if p == nil {
		return
	}
	v.check(p.MinVersion <= TLS13, "%s: unknown version %d of TLS", of, p.MinVersion)
	v.check(p.MinVersion != TLSUnset || len(p.Suites) > 0, "%s: a TLS policy that says nothing", of)
	seen := map[string]bool{}
	for _, name := range p.Suites {
		suite := SuiteNamed(name)
		v.check(suite != nil && suite.Name == name, "%s: unknown cipher suite %q", of, name)
		v.check(!seen[name], "%s: cipher suite %s stands twice", of, name)
		seen[name] = true
	}
}

// suiteList is the list of suites of a policy, of which the order does not
// matter: crypto/tls has an order of its own.
func (p *TLSPolicy) suiteList() list {
	if p == nil {
		return texts(nil)
	}
	return texts(p.Suites)
}

// compare orders policies, none first.
func (p *TLSPolicy) compare(other *TLSPolicy) int {
	if p == nil || other == nil {
		return compareBool(p != nil, other != nil) // false before true
	}
	return cmp.Or(cmp.Compare(p.MinVersion, other.MinVersion), slices.Compare(p.Suites, other.Suites))
}
