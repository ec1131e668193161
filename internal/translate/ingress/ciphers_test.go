package ingress

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"windrose.dev/windrose/internal/model"
)

// The groups of the supported suites, by OpenSSL name: as `openssl ciphers -s -tls1_2`
// (3.0) prints them.
const (
	rsaGCM   = "ECDHE-RSA-AES128-GCM-SHA256 ECDHE-RSA-AES256-GCM-SHA384 "
	ecdsaGCM = "ECDHE-ECDSA-AES128-GCM-SHA256 ECDHE-ECDSA-AES256-GCM-SHA384 "
	chacha   = "ECDHE-ECDSA-CHACHA20-POLY1305 ECDHE-RSA-CHACHA20-POLY1305 "
	sha1     = "ECDHE-ECDSA-AES128-SHA ECDHE-ECDSA-AES256-SHA ECDHE-RSA-AES128-SHA ECDHE-RSA-AES256-SHA "
	aead     = rsaGCM + ecdsaGCM + chacha
	all      = aead + sha1
	ofRSA    = rsaGCM + "ECDHE-RSA-CHACHA20-POLY1305 ECDHE-RSA-AES128-SHA ECDHE-RSA-AES256-SHA "
	ofECDSA  = ecdsaGCM + "ECDHE-ECDSA-CHACHA20-POLY1305 ECDHE-ECDSA-AES128-SHA ECDHE-ECDSA-AES256-SHA "
	aes128   = "ECDHE-RSA-AES128-GCM-SHA256 ECDHE-ECDSA-AES128-GCM-SHA256 ECDHE-RSA-AES128-SHA ECDHE-ECDSA-AES128-SHA "
	aes256   = "ECDHE-RSA-AES256-GCM-SHA384 ECDHE-ECDSA-AES256-GCM-SHA384 ECDHE-RSA-AES256-SHA ECDHE-ECDSA-AES256-SHA "
	nothing  = ""
)

// TestCipherLists: lists evaluate as ciphers(1) says, among the supported suites. What
// OpenSSL 3.0 refuses is refused.
func TestCipherLists(t *testing.T) {
	for _, test := range []struct {
		list, want string
		unspoken   string // separated by commas
		refused    bool
	}{
		// Suites, by both kinds of names.
		{list: "ECDHE-RSA-AES128-GCM-SHA256", want: "ECDHE-RSA-AES128-GCM-SHA256"},
		{list: "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", want: "ECDHE-RSA-AES128-SHA"},
		{list: "DHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-SHA:AES128-SHA:DES-CBC3-SHA", want: "ECDHE-RSA-AES128-SHA", unspoken: "DHE-RSA-AES128-GCM-SHA256,AES128-SHA,DES-CBC3-SHA"},
		{list: "ECDHE-RSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA384", want: nothing, unspoken: "ECDHE-RSA-AES128-SHA256,ECDHE-ECDSA-AES256-SHA384"},
		{list: "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:CHACHA20", want: chacha}, // suites of TLS 1.3 are always on
		{list: "ecdhe-rsa-aes128-sha", want: nothing, unspoken: "ecdhe-rsa-aes128-sha"},
		// Keywords.
		{list: "ALL", want: all},
		{list: "DEFAULT", want: all},
		{list: "COMPLEMENTOFDEFAULT", want: nothing, unspoken: "COMPLEMENTOFDEFAULT"},
		{list: "HIGH", want: all},
		{list: "MEDIUM:LOW", want: nothing, unspoken: "MEDIUM,LOW"},
		{list: "ECDHE", want: all},
		{list: "EECDH", want: all},
		{list: "kEECDH", want: all},
		{list: "kECDHE", want: all},
		{list: "ECDH", want: all},
		{list: "aRSA", want: ofRSA},
		{list: "aECDSA", want: ofECDSA},
		{list: "ECDSA", want: ofECDSA},
		{list: "RSA:kRSA", want: nothing, unspoken: "RSA,kRSA"}, // key exchange by RSA
		{list: "AES", want: rsaGCM + ecdsaGCM + sha1},
		{list: "FIPS", want: rsaGCM + ecdsaGCM + sha1},
		{list: "AES128", want: aes128},
		{list: "AES256", want: aes256},
		{list: "AESGCM", want: rsaGCM + ecdsaGCM},
		{list: "CHACHA20", want: chacha},
		{list: "SHA", want: sha1},
		{list: "SHA1", want: sha1},
		{list: "SHA256:SHA384", want: nothing, unspoken: "SHA256,SHA384"}, // as MACs, which AEAD suites do not have
		{list: "TLSv1.2", want: aead},
		{list: "TLSv1", want: sha1},
		{list: "TLSv1.0", want: sha1},
		{list: "SSLv3:eNULL:aNULL:DHE:EDH:PSK:SRP:CAMELLIA", want: nothing, unspoken: "SSLv3,eNULL,aNULL,DHE,EDH,PSK,SRP,CAMELLIA"},
		// Intersections.
		{list: "ECDHE+AESGCM", want: rsaGCM + ecdsaGCM},
		{list: "ECDHE+AESGCM:ECDHE+CHACHA20", want: aead},
		{list: "EECDH+AESGCM:EDH+AESGCM", want: rsaGCM + ecdsaGCM, unspoken: "EDH+AESGCM"},
		{list: "ECDHE+aRSA+AES128+SHA", want: "ECDHE-RSA-AES128-SHA"},
		{list: "ECDHE-RSA-AES128-SHA+AES", want: "ECDHE-RSA-AES128-SHA"},
		{list: "AES128+AES256", want: nothing, unspoken: "AES128+AES256"},
		{list: "ECDHE+FOO", want: nothing, unspoken: "ECDHE+FOO"},
		// Removed, permanently or not, and moved.
		{list: "HIGH:!aNULL:!MD5", want: all},
		{list: "ALL:!SHA:SHA", want: aead},
		{list: "!aRSA:ECDHE", want: ofECDSA},
		{list: "ALL:-SHA:SHA", want: all},
		{list: "ALL:-SHA", want: aead},
		{list: "-ALL:AES128", want: aes128},
		{list: "AES128:+SHA:CHACHA20", want: aes128 + chacha},
		{list: "+ECDHE", want: nothing},
		{list: "ALL:!ECDHE+SHA", want: aead},
		// Without effect on a set.
		{list: "ALL:@STRENGTH", want: all},
		{list: "@STRENGTH:AES128", want: aes128},
		{list: "AES128@STRENGTH", want: aes128},
		{list: "ALL:@STRENGTH+AES", want: all},
		{list: "DEFAULT:@SECLEVEL=0", want: all},
		{list: "AES256:@SECLEVEL=5", want: aes256},
		// DEFAULT is a keyword only at the start.
		{list: "DEFAULT:!SHA", want: aead},
		{list: "DEFAULT-SHA", want: aead},
		{list: "DEFAULT+SHA", want: all},
		{list: "DEFAULT@STRENGTH", want: all},
		{list: "AES128:DEFAULT", want: aes128, unspoken: "DEFAULT"},
		// Separators.
		{list: "AESGCM,CHACHA20", want: aead},
		{list: "AESGCM CHACHA20", want: aead},
		{list: "AESGCM;CHACHA20", want: aead},
		{list: "::AESGCM:, :CHACHA20:", want: aead},
		{list: "ALL!SHA", want: aead},
		{list: "", want: nothing},
		{list: ":", want: nothing},
		{list: "FOO", want: nothing, unspoken: "FOO"},
		// Invalid commands, in OpenSSL's terms.
		{list: "?", refused: true},
		{list: "ECDHE:?", refused: true},
		{list: "ECDHE?", refused: true},
		{list: "ECDHE:!", refused: true},
		{list: "! AES:ALL", refused: true},
		{list: "ALL:-", refused: true},
		{list: "ALL:+:AES", refused: true},
		{list: "ALL:+!AES", refused: true},
		{list: "ECDHE+", refused: true},
		{list: "ALL++AES", refused: true},
		{list: "ALL:@", refused: true},
		{list: "ALL:@FOO", refused: true},
		{list: "@ STRENGTH", refused: true},
		{list: "ALL:@STRENGTHfoo", refused: true},
		{list: "ALL:@SECLEVEL=9", refused: true},
		{list: "ALL:@SECLEVEL=1x", refused: true},
		{list: "ALL:é", refused: true},
		{list: strings.Repeat("A:", 5000), refused: true}, // a bound of our own
	} {
		got, err := readCiphers(test.list)
		if (err != nil) != test.refused || err != nil && !errors.Is(err, errCiphers) {
			t.Errorf("%q: %v", test.list, err)
			continue
		}
		var want []string
		for _, name := range strings.Fields(test.want) {
			want = append(want, model.SuiteNamed(name).Name)
		}
		if slices.Sort(want); !slices.Equal(got.suites, want) {
			t.Errorf("%q: %v, want %v", test.list, got.suites, want)
		}
		if unspoken := strings.Join(got.unspoken, ","); unspoken != test.unspoken {
			t.Errorf("%q: unspoken %q, want %q", test.list, unspoken, test.unspoken)
		}
	}
}

// FuzzCipherLists: all suites in the result of any list are supported, and suites removed
// permanently stay away.
func FuzzCipherLists(f *testing.F) {
	for _, seed := range []string{
		"ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:@STRENGTH", "DEFAULT:!SHA:+AES128", "ALL:-SHA,SHA;AES", "DEFAULT@SECLEVEL=1", "!", "+", "@", "A+", "--", "!-AES:ALL",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, list string) {
		got, err := readCiphers(list)
		if err != nil {
			if len(got.suites) > 0 {
				t.Errorf("%q is refused, and gives %v", list, got.suites)
			}
			return
		}
		if _, err := model.ParseSuites(strings.Join(got.suites, ",")); len(got.suites) > 0 && err != nil {
			t.Error(err)
		}
		if !slices.IsSorted(got.suites) || len(slices.Compact(slices.Clone(got.suites))) != len(got.suites) {
			t.Errorf("%q: %v", list, got.suites)
		}
		if len(list) > maxCiphers-20 {
			return
		}
		rest, err := readCiphers(list + ":!SHA:ALL")
		if err != nil {
			t.Errorf("%q is not refused, and is with more", list)
		}
		if len(rest.suites) > 6 {
			t.Errorf("%q: what was removed for good is back: %v", list, rest.suites)
		}
	})
}
