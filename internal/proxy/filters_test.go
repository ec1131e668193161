package proxy_test

import (
	"strings"
	"testing"
)

// TestFiltersAreOrdered: requests pass the filters of a rule in the order in which they
// stand, kinds may repeat, and answers pass them the other way round.
func TestFiltersAreOrdered(t *testing.T) {
	r, b := serve(t, "request-set=x-a:1 response-set=x-r:outer edit request-add=x-a:2 response-set=x-r:inner edit request-remove=x-a request-add=x-b:3", always(ok2))
	answer := r.ask(get("/"))
	if got := b.bytes(); strings.Contains(got, "x-a") || !strings.Contains(got, "x-b: 3") {
		t.Errorf("the backend got %q", got)
	}
	if got := fieldOf(answer, "x-r"); got != "outer" {
		t.Errorf("the answer has x-r %q", got)
	}
	r, b = serve(t, "request-remove=x-a request-add=x-a:1 edit request-add=x-a:2", always(ok2))
	r.ask("GET / HTTP/1.1\r\nHost: a.example\r\nX-A: 0\r\n\r\n")
	if got := b.bytes(); !strings.Contains(got, "x-a: 1\r\nx-a: 2\r\n") {
		t.Errorf("the backend got %q", got)
	}
}

// TestDirectResponse: a rule may answer with fields and a body of its own.
func TestDirectResponse(t *testing.T) {
	r := newRig(t, nil)
	r.apply("listener 80 http\nhost * 80\nblock test first-match\n" +
		"rule page prefix:/page respond=200:answered respond-header=Content-Type:text/html respond-header=x-a:b respond-body=<p>\n" +
		"rule busy prefix:/ respond=503:closed respond-header=Retry-After:5 \"respond-body=come again\"\n")
	answer := r.ask(get("/page"))
	if !strings.HasPrefix(answer, "HTTP/1.1 200 OK\r\n") || !strings.HasSuffix(answer, "\r\n\r\n<p>") || fieldOf(answer, "x-a") != "b" ||
		fieldOf(answer, "Content-Type") != "text/html" || fieldOf(answer, "Content-Length") != "3" || strings.Count(answer, "Content-Type") != 1 {
		t.Errorf("%q", answer)
	}
	answer = r.ask(get("/"))
	if statusOf(answer) != 503 || fieldOf(answer, "Retry-After") != "5" || !strings.HasSuffix(answer, "\r\n\r\ncome again") {
		t.Errorf("%q", answer)
	}
	answer = r.ask("HEAD /page HTTP/1.1\r\nHost: a\r\n\r\n")
	if !strings.HasSuffix(answer, "\r\n\r\n") || fieldOf(answer, "Content-Length") != "3" {
		t.Errorf("%q", answer)
	}
}
