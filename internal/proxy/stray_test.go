package proxy_test

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"
)

// A backend over TLS that sends more than its answer, in a record of its own, does
// not give that to another request.
func TestStrayBytesOverTLS(t *testing.T) {
	pair := newKeyPair(t, "a.example")
	cert, err := tls.X509KeyPair(pair.chain, pair.key)
	if err != nil {
		t.Fatal(err)
	}
	const stray = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray"
	for name, tt := range map[string]struct {
		before, answer string
		behind         bool // the stray bytes come once the answer was read
	}{
		"a body of an answer to HEAD": {"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 43\r\n\r\n", true},
		"a second answer":             {get("/"), text("first"), true},
		"both at once":                {get("/"), text("first"), false},
	} {
		t.Run(name, func(t *testing.T) {
			answered, strayed := newSignal(), newSignal()
			b := newBackend(t, func(p *peer) {
				secure := newPeer(t, tls.Server(p.nc, &tls.Config{Certificates: []tls.Certificate{cert}}))
				for {
					m := secure.message()
					if m == "" {
						return
					}
					if strings.Contains(m, "/second") {
						secure.send(text("right"))
						continue
					}
					secure.send(tt.answer)
					if tt.behind {
						answered.wait(t, "the client has its answer")
					}
					secure.send(stray)
					strayed.fire()
				}
			})
			r := newRig(t, nil)
			r.applySnapshot(securedRule(t, "tls unverified", b.addr, nil, nil))
			c := r.dial()
			c.send(tt.before)
			c.answer(methodOf(tt.before))
			answered.fire()
			strayed.wait(t, "the stray bytes")
			time.Sleep(5 * time.Millisecond) // no wait: connections that rested for less are not looked at
			if got := r.ask(get("/second")); bodyOf(got) != "right" {
				t.Errorf("another client got %q", got)
			}
		})
	}
}
