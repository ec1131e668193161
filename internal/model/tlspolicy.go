package model

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// TLSVersion is a version of TLS. RFC 8996 forbids versions before 1.2, and so does RFC
// 9113 §9.2 for HTTP/2.
type TLSVersion uint8

const (
	// TLSUnset leaves the version to the proxy.
	TLSUnset TLSVersion = iota
	// TLS12 and TLS13 are TLS 1.2 and 1.3.
	TLS12
	TLS13
)

// TLSPolicy limits the TLS versions and cipher suites. A policy without limits is nil.
type TLSPolicy struct {
	// MinVersion is the lowest version that is accepted.
	MinVersion TLSVersion `cbor:"1,keyasint,omitempty" json:"minVersion,omitempty"`
	// Suites are the cipher suites of TLS 1.2, by their IANA names; empty leaves them to
	// the proxy. The suites of TLS 1.3 cannot be chosen: crypto/tls enables only secure
	// ones.
	Suites []string `cbor:"2,keyasint,omitempty" json:"suites,omitempty"`
}

// CipherSuite is a cipher suite of TLS 1.2 that may be chosen.
type CipherSuite struct {
	// Name is the IANA name, and OpenSSL the name in ciphers(1).
	Name, OpenSSL string
	// ID is the number that IANA assigned, which crypto/tls uses, too.
	ID uint16
	// AEAD suites are the only ones that HTTP/2 may use (RFC 9113 appendix A).
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

// suitesOf13 are the suites of TLS 1.3. Lists may name them, which has no effect.
var suitesOf13 = []string{"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}

// CipherSuites returns the suites that may be chosen, sorted by name: those of crypto/tls
// for TLS 1.2, without the ones that it calls insecure.
func CipherSuites() []CipherSuite { return slices.Clone(cipherSuites) }

// Always reports whether a cipher suite is one of TLS 1.3, which are always enabled.
func Always(suite string) bool { return slices.Contains(suitesOf13, suite) }

// AEADSuites returns the names of the suites that HTTP/2 may use (RFC 9113 §9.2.2), which
// are also the default of ingress-nginx.
func AEADSuites() []string {
	var names []string
	for _, s := range CipherSuites() {
		if s.AEAD {
			names = append(names, s.Name)
		}
	}
	return names
}

// SuiteNamed finds a suite by its IANA or OpenSSL name; nil if there is none.
func SuiteNamed(name string) *CipherSuite {
	for i := range cipherSuites {
		if s := &cipherSuites[i]; s.Name == name || s.OpenSSL == name {
			return s
		}
	}
	return nil
}

// SuiteIDs returns the numbers of suites; unknown IANA names are left out.
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

// ParseSuites reads IANA or OpenSSL names, separated by commas. It returns the IANA
// names, sorted and without duplicates. Suites of TLS 1.3 are left out.
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

// tlsVersionNames has an empty name for TLSUnset, which is not written.
var tlsVersionNames = []string{TLSUnset: "", TLS12: "1.2", TLS13: "1.3"}

// String returns the number of the version.
func (v TLSVersion) String() string { return tlsVersionNames[v] }

// MarshalText returns the number of the version.
func (v TLSVersion) MarshalText() ([]byte, error) { return []byte(tlsVersionNames[v]), nil }

// ParseTLSVersion reads 1.2 or 1.3.
func ParseTLSVersion(text string) (TLSVersion, error) {
	above, err := indexOf[TLSVersion](tlsVersionNames[TLS12:], text, "version of TLS")
	if err != nil {
		return TLSUnset, err
	}
	return TLS12 + above, nil
}

// String returns the policy in the text form.
func (p *TLSPolicy) String() string {
	w := &textWriter{}
	w.line(p.words()...)
	return strings.TrimSuffix(w.b.String(), "\n")
}

// words returns the options of a policy in the text form.
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

// setMin and setSuites set a field of a policy, and make the policy if it is nil.
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

// tlsPolicy checks a policy; of names its owner in errors.
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

// suiteList returns the suites of a policy as a list whose order has no meaning, since
// crypto/tls has an order of its own.
func (p *TLSPolicy) suiteList() list {
	if p == nil {
		return texts(nil)
	}
	return texts(p.Suites)
}

// compare orders policies, nil first.
func (p *TLSPolicy) compare(other *TLSPolicy) int {
	if p == nil || other == nil {
		return compareBool(p != nil, other != nil) // false before true
	}
	return cmp.Or(cmp.Compare(p.MinVersion, other.MinVersion), slices.Compare(p.Suites, other.Suites))
}
