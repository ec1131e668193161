package proxy_test

import (
	"strings"
	"testing"

	"windrose.dev/windrose/internal/proxy"
)

// TestExplainedAnswers: who carries the token learns how the request was
// decided; nobody else does, and the backend never sees the token.
func TestExplainedAnswers(t *testing.T) {
	b := newBackend(t, echo)
	r := newRig(t, func(cfg *proxy.Config) { cfg.ExplainToken = "secret" })
	r.apply(strings.Replace(rule("", b.addr), "rule r prefix:/ ", "rule canary prefix:/ when=header:x-env=canary respond=404:no_route\nrule r prefix:/ rank=1 ", 1))
	ask := func(token string) string {
		return r.ask("GET /a HTTP/1.1\r\nHost: a\r\nX-Windrose-Explain: " + token + "\r\n\r\n")
	}
	got := ask("secret")
	head, body, _ := strings.Cut(got, "\r\n\r\n")
	if want := "generation=1 listener=80 host=* block=test rule=r at= lost=canary:header"; fieldOf(head, "X-Windrose-Explained") != want {
		t.Errorf("%q", head)
	}
	if strings.Contains(body, "secret") {
		t.Errorf("the token reached the backend: %q", body)
	}
	for _, token := range []string{"", "Secret", "secret2"} {
		if got := ask(token); strings.Contains(got, "Explained") {
			t.Errorf("token %q: %q", token, got)
		}
	}
}
