package proxy_test

import (
	"net"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/summerwind/h2spec"
	"github.com/summerwind/h2spec/config"
)

// The conformance tests of h2spec, all of them and in strict mode, against our
// server. They run over TLS: in plain text a broken preface is a request of
// HTTP/1 and is answered as one.
func TestH2spec(t *testing.T) {
	r := newRig(t, nil)
	backend := httpBackend(t, func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("hello")) })
	r.applySnapshot(tlsRule(t, backend, map[string]keyPair{"*": newKeyPair(t, "x")}))
	host, port, err := net.SplitHostPort(r.addr(443))
	if err != nil {
		t.Fatal(err)
	}
	number, _ := strconv.Atoi(port)
	passed, err := h2spec.Run(&config.Config{
		Host: host, Port: number, Path: "/", Timeout: 5 * time.Second, MaxHeaderLen: 4000,
		Strict: true, TLS: true, Insecure: true,
	})
	if err != nil || !passed {
		t.Errorf("h2spec did not pass: %v", err)
	}
}
