package model

import (
	"crypto/tls"
	"slices"
	"strings"
	"testing"
)

// TestCipherSuites: the table has all suites of crypto/tls for TLS 1.2 that it does not
// call insecure. It marks as AEAD those that RFC 9113 appendix A does not list: the ones
// with GCM and with Poly1305.
func TestCipherSuites(t *testing.T) {
	want := map[uint16]string{}
	for _, suite := range tls.CipherSuites() {
		if slices.Contains(suite.SupportedVersions, tls.VersionTLS12) {
			want[suite.ID] = suite.Name
		} else if !Always(suite.Name) {
			t.Errorf("%s is neither in the table nor always on", suite.Name)
		}
	}
	for _, suite := range CipherSuites() {
		if want[suite.ID] != suite.Name {
			t.Errorf("%s has number %x, which is %q", suite.Name, suite.ID, want[suite.ID])
		}
		delete(want, suite.ID)
		if aead := strings.Contains(suite.Name, "GCM") || strings.Contains(suite.Name, "POLY1305"); aead != suite.AEAD {
			t.Errorf("%s: AEAD %v", suite.Name, suite.AEAD)
		}
	}
	if len(want) > 0 {
		t.Errorf("the table lacks %v", want)
	}
	if !slices.IsSortedFunc(CipherSuites(), func(a, b CipherSuite) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("the table is not in order")
	}
}

func TestParseSuites(t *testing.T) {
	for _, test := range []struct{ list, want, wrong string }{
		{"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", ""},
		{"ECDHE-RSA-AES128-GCM-SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", ""},
		{
			"ECDHE-RSA-AES128-SHA, ECDHE-ECDSA-CHACHA20-POLY1305 ,TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA,TLS_AES_128_GCM_SHA256",
			"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", "",
		},
		{"", "", `"" is none`},
		{"ECDHE-RSA-AES128-GCM-SHA256,", "", `"" is none`},
		{"TLS_AES_128_GCM_SHA256", "", "none of TLS 1.2"},
		{"AES128-SHA", "", `"AES128-SHA" is none`},
		{"TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA", "", "is none that is spoken"},
		{"ecdhe-rsa-aes128-sha", "", "is none that is spoken"},
	} {
		got, err := ParseSuites(test.list)
		if strings.Join(got, ",") != test.want || (err == nil) != (test.wrong == "") || err != nil && !strings.Contains(err.Error(), test.wrong) {
			t.Errorf("%s: %v, %v", test.list, got, err)
		}
	}
}

// TestTLSPolicies: what a policy may contain, for certificates and for services.
func TestTLSPolicies(t *testing.T) {
	const good = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"
	for _, test := range []struct {
		policy *TLSPolicy
		want   string
	}{
		{nil, ""},
		{&TLSPolicy{MinVersion: TLS12}, ""},
		{&TLSPolicy{TLS13, []string{good}}, ""},
		{&TLSPolicy{}, "says nothing"},
		{&TLSPolicy{MinVersion: 3}, "unknown version 3"},
		{&TLSPolicy{MinVersion: 255}, "unknown version 255"},
		{&TLSPolicy{Suites: []string{good, good}}, "stands twice"},
		{&TLSPolicy{Suites: []string{"TLS_RSA_WITH_AES_128_CBC_SHA"}}, "unknown cipher suite"},
		{&TLSPolicy{Suites: []string{"ECDHE-RSA-AES128-GCM-SHA256"}}, "unknown cipher suite"},
		{&TLSPolicy{Suites: []string{"TLS_AES_128_GCM_SHA256"}}, "unknown cipher suite"},
	} {
		for _, set := range []func(*Parts){
			func(p *Parts) {
				p.Config.Listeners = append(p.Config.Listeners, Listener{ID: ListenerID{Port: 9443}, Protocol: HTTPS, Certificates: []Certificate{{"a.example.com", "shop/tls", test.policy}}})
			},
			func(p *Parts) {
				p.Config.Services = append(p.Config.Services, Service{ID: ParseServiceID("a/b:1~c"), TLS: &UpstreamTLS{Unverified: true, Policy: test.policy}})
			},
		} {
			parts := sample()
			set(&parts)
			err := Validate(&parts)
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("%+v: want %q, got %v", test.policy, test.want, err)
			}
		}
	}
}

// TestTLSPolicyText: the options are accepted where they belong and nowhere else.
func TestTLSPolicyText(t *testing.T) {
	const listener = "listener 443 https\nsecret a/tls 00\n"
	for text, want := range map[string]string{
		listener + "certificate 443 * a/tls tls-min=1.2 tls-suites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "",
		listener + "certificate 443 * a/tls tls-min=1.1":                                                  `"1.1" is none of 1.2, 1.3`,
		listener + "certificate 443 * a/tls tls-min=":                                                     `"" is none of 1.2, 1.3`,
		listener + "certificate 443 * a/tls tls-suites=":                                                  `unknown cipher suite ""`,
		listener + "certificate 443 * a/tls ca=b":                                                         `unknown option "ca" of a certificate`,
		"service a/b:1 round-robin tls-min=1.3":                                                           "does not stand before",
		"service a/b:1 round-robin tls unverified tls-min=1.3":                                            "",
		"service a/b:1 round-robin tls unverified tls-min=3":                                              `"3" is none of 1.2, 1.3`,
		"service a/b:1 round-robin tls unverified tls-suites=TLS_RSA_WITH_AES_128_CBC_SHA":                "unknown cipher suite",
	} {
		_, err := Parse(text)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: want %q, got %v", text, want, err)
		}
	}
}

// TestTLSPolicyHash: a policy changes the hash of a Snapshot; the order in which its
// suites were written does not.
func TestTLSPolicyHash(t *testing.T) {
	hash := func(text string) Hash {
		s, err := Parse("listener 443 https\nsecret a/tls 00\ncertificate 443 * a/tls " + text)
		if err != nil {
			t.Fatal(err)
		}
		return s.Root
	}
	const one, two = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"
	different := map[Hash]string{}
	for _, text := range []string{"", "tls-min=1.2", "tls-min=1.3", "tls-suites=" + one, "tls-suites=" + one + "," + two} {
		if same, known := different[hash(text)]; known {
			t.Errorf("%q has the hash of %q", text, same)
		}
		different[hash(text)] = text
	}
	if hash("tls-suites="+one+","+two) != hash("tls-suites="+two+","+one) {
		t.Error("the order of suites matters")
	}
}
