package proxy_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"windrose.dev/windrose/internal/proxy"
	"windrose.dev/windrose/internal/proxy/admin"
)

// adminOf serves the admin API of a rig and returns its URL.
func adminOf(t *testing.T, r *rig) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() { admin.Serve(ctx, l, admin.All(r.metrics, r.proxy)) })
	t.Cleanup(func() { cancel(); serving.Wait() })
	return "http://" + l.Addr().String()
}

// watchFlows asks for /flows, and returns once the answer has begun.
func watchFlows(t *testing.T, url string) *http.Response {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { answer.Body.Close() })
	if kind := answer.Header.Get("Content-Type"); answer.StatusCode != http.StatusOK || kind != "application/x-ndjson" {
		t.Fatalf("status %d, of %s", answer.StatusCode, kind)
	}
	return answer
}

// TestFlowsOfAProxy: whoever watches sees each request as it ends, with what the log
// would have of it and no header else, though nothing is logged; and ends with the
// client.
func TestFlowsOfAProxy(t *testing.T) {
	b := newBackend(t, func(p *peer) {
		p.readHead()
		p.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: session=hidden\r\n\r\nok")
	})
	r := newRig(t, func(cfg *proxy.Config) { cfg.Log = nil })
	r.apply(rule("", b.addr))
	answer := watchFlows(t, adminOf(t, r)+"/flows")
	r.ask("GET /a?b=c HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\nAuthorization: Bearer hidden\r\nCookie: session=hidden\r\n" +
		"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n")
	line, err := bufio.NewReader(answer.Body).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var flow map[string]any
	if err := json.Unmarshal([]byte(line), &flow); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	for member, want := range map[string]any{
		"status": 200.0, "outcome": "ok", "method": "GET", "host": "shop.example", "target": "/a?b=c", "route": "r",
		"service": "s:80", "endpoint": b.addr, "traceId": "4bf92f3577b34da6a3ce929d0e0e4736",
	} {
		if flow[member] != want {
			t.Errorf("%s is %v, want %v", member, flow[member], want)
		}
	}
	if strings.Contains(line, "hidden") {
		t.Errorf("a header's value is told: %s", line)
	}
	answer.Body.Close()
	eventually(t, "the watcher ends with its client", func() bool { return !r.proxy.Sink().Wanted() })
}

// TestFlowsEndAfterAsManyAsWereWanted: a client that wants two has two, and an end.
func TestFlowsEndAfterAsManyAsWereWanted(t *testing.T) {
	r, _ := serve(t, "", func(p *peer) {
		p.readHead()
		p.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	})
	answer := watchFlows(t, adminOf(t, r)+"/flows?n=2")
	for range 3 {
		r.ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	}
	n := 0
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		n++
	}
	if n != 2 {
		t.Errorf("%d lines", n)
	}
}
