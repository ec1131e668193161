//go:build peers

package peers

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"windrose.dev/windrose/bench/rig"
)

const clients = 32

// methods are the two kinds of requests that matter when a connection breaks: requests
// that may be repeated, and requests that may not.
var methods = []struct {
	name string
	do   func(*rig.Raw) (rig.Answer, error)
}{
	{"GET", getter("/page")},
	{"POST", poster("/page", "the body of a request that must not be sent twice")},
}

// TestBackendClosesConnections: no request is lost if an nginx closes its connections
// after a few requests, or after a short time.
func TestBackendClosesConnections(t *testing.T) {
	for _, c := range []struct{ name, directive string }{
		{"after three requests", "keepalive_requests 3;"},
		{"after each request", "keepalive_timeout 0;"},
		{"after a second", "keepalive_timeout 1s;"},
	} {
		for _, m := range methods {
			t.Run(c.name+"/"+m.name, func(t *testing.T) { testCloses(t, c.directive, m.do) })
		}
	}
}

func testCloses(t *testing.T, directive string, do func(*rig.Raw) (rig.Answer, error)) {
	r := newRig(t)
	address := ports(t, 1)[0]
	startNginx(t, r, pageServer(address, directive), address)
	g := startGateway(t, r, address)
	// Many connections, then one for longer than the backend keeps idle connections, then
	// many again.
	for i, n := range []int{clients, 1, clients} {
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		counts := hammer(ctx, g.plain, n, do)
		cancel()
		t.Logf("%d clients:\n%s", n, counts)
		if counts.failed() > 0 || counts.sent.Load() == 0 {
			t.Errorf("burst %d: %d of %d requests failed:\n%s", i, counts.failed(), counts.sent.Load(), counts)
		}
	}
}

// pageServer is an nginx that serves GET and POST alike.
func pageServer(address, directive string) string {
	return fmt.Sprintf(`
	server {
		listen %[1]s;
		%[2]s
		location / { default_type text/plain; return 200 "a page\n"; }
	}`, address, directive)
}

// TestBackendKilled kills the worker of an nginx under load; its master starts another
// one at once. One request in flight for each client and kill may fail, but no other.
func TestBackendKilled(t *testing.T) {
	for _, m := range methods {
		t.Run(m.name, func(t *testing.T) {
			r := newRig(t)
			address := ports(t, 1)[0]
			nginx := startNginx(t, r, pageServer(address, ""), address)
			g := startGateway(t, r, address)
			const kills = 3
			counts := underLoad(t, g, m.do, func() {
				for range kills {
					time.Sleep(500 * time.Millisecond)
					for _, worker := range nginx.Children() {
						ok(t, syscall.Kill(worker, syscall.SIGKILL))
					}
				}
				time.Sleep(500 * time.Millisecond)
			})
			if limit := kills * clients; counts.failed() > limit {
				t.Errorf("%d requests failed, %d at most were in flight:\n%s", counts.failed(), limit, counts)
			}
			recovered(t, g, m.do)
		})
	}
}

// TestBackendRestarted stops an nginx under load and starts it again after a while. Until
// then every response is 502; afterwards every response is 200.
func TestBackendRestarted(t *testing.T) {
	for _, m := range methods {
		t.Run(m.name, func(t *testing.T) {
			r := newRig(t)
			address := ports(t, 1)[0]
			nginx := startNginx(t, r, pageServer(address, ""), address)
			g := startGateway(t, r, address)
			counts := underLoad(t, g, m.do, func() {
				time.Sleep(500 * time.Millisecond)
				nginx.Stop()
				time.Sleep(500 * time.Millisecond)
				startNginx(t, r, pageServer(address, ""), address)
				time.Sleep(500 * time.Millisecond)
			})
			if counts.ends["502"] == 0 {
				t.Errorf("no request met a dead backend:\n%s", counts)
			}
			recovered(t, g, m.do)
			if n := metric(t, g.admin, "windrose_requests_total", `outcome="connect_failed"`); n == 0 {
				t.Error("no request is counted as connect_failed")
			}
		})
	}
}

// underLoad calls act while clients send requests. Each request must get a response: 200,
// or 502 while the backend is away.
func underLoad(t *testing.T, g *gateway, do func(*rig.Raw) (rig.Answer, error), act func()) *tally {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var counts *tally
	var load sync.WaitGroup
	load.Go(func() { counts = hammer(ctx, g.plain, clients, do) })
	act()
	cancel()
	load.Wait()
	t.Logf("under load:\n%s", counts)
	for end, n := range counts.ends {
		if end != "200" && end != "502" {
			t.Errorf("%d requests ended with %s", n, end)
		}
	}
	return counts
}

// recovered checks that no request fails any more.
func recovered(t *testing.T, g *gateway, do func(*rig.Raw) (rig.Answer, error)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if counts := hammer(ctx, g.plain, clients, do); counts.failed() > 0 || counts.sent.Load() == 0 {
		t.Errorf("after the backend is back, %d of %d requests failed:\n%s", counts.failed(), counts.sent.Load(), counts)
	}
}

// TestBackendTruncates kills an nginx in the middle of a response: the client must notice
// that the response is incomplete.
func TestBackendTruncates(t *testing.T) {
	r := newRig(t)
	address := ports(t, 1)[0]
	must[string](t)(r.File("root/large.bin", pattern(largeSize)))
	nginx := startNginx(t, r, fmt.Sprintf("server { listen %s; root %s/root; limit_rate 1m; }", address, r.Dir), address)
	g := startGateway(t, r, address)
	client := dial(t, g.plain)
	_, err := fmt.Fprintf(client.Conn, "GET /large.bin HTTP/1.1\r\nHost: shop.example.com\r\n\r\n")
	ok(t, err)
	must[[]byte](t)(client.In().Peek(4096)) // the response has begun
	for _, worker := range nginx.Children() {
		ok(t, syscall.Kill(worker, syscall.SIGKILL))
	}
	if answer, err := client.Read("GET"); err == nil {
		t.Errorf("an answer of %d bytes, status %d, passed for whole", len(answer.Body), answer.Status)
	}
	if n := metric(t, g.admin, "windrose_requests_total", `outcome="upstream_truncated"`); n != 1 {
		t.Errorf("%g requests are counted as truncated, want 1", n)
	}
}
