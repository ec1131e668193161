package serve

import (
	"flag"
	"io"
	"strings"
	"testing"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy/settings"
)

// TestTLSFlags: the values that the TLS flags accept, and the defaults.
func TestTLSFlags(t *testing.T) {
	const aead = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256," +
		"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"
	for _, test := range []struct {
		args    string
		version model.TLSVersion
		suites  string // empty: the flags are rejected
	}{
		{"", model.TLS12, aead},
		{"--tls-min-version=1.2", model.TLS12, aead},
		{"--tls-min-version=1.3", model.TLS13, aead},
		{"--tls-cipher-suites=ECDHE-RSA-AES128-SHA,TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", model.TLS12, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"},
		{"--tls-min-version=1.1", 0, ""},
		{"--tls-min-version=", 0, ""},
		{"--tls-cipher-suites=", 0, ""},
		{"--tls-cipher-suites=AES128-SHA", 0, ""},
		{"--tls-cipher-suites=TLS_AES_128_GCM_SHA256", 0, ""},
	} {
		limits := settings.DefaultLimits()
		flags := flag.NewFlagSet("test", flag.ContinueOnError)
		flags.SetOutput(io.Discard)
		AddLimits(flags, &limits)
		err := flags.Parse(strings.Fields(test.args))
		if (err != nil) != (test.suites == "") {
			t.Errorf("%s: %v", test.args, err)
		}
		if err == nil && (limits.TLS.MinVersion != test.version || strings.Join(limits.TLS.Suites, ",") != test.suites) {
			t.Errorf("%s: %s", test.args, &limits.TLS)
		}
	}
}
