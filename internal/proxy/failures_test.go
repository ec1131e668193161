package proxy_test

import (
	"net"
	"sync/atomic"
	"testing"

	"windrose.dev/windrose/internal/proxy/exchange"
)

// TestFailuresAreCounted: explain tells how often an endpoint has failed in a row, be it
// asked for requests or for connections.
func TestFailuresAreCounted(t *testing.T) {
	var answer atomic.Pointer[string]
	web := newBackend(t, func(p *peer) {
		for p.message() != "" {
			p.send(*answer.Load())
		}
	})
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	r := newRig(t, nil)
	r.apply("listener 80 http\nlistener 81 tcp\nhost * 80\nblock test by-specificity\nrule r prefix:/ forward=web:80\nl4-route raw 81 forward=gone:81\n" +
		"service web:80 round-robin\nservice gone:81 round-robin\nendpoint web:80 " + web.addr + "\nendpoint gone:81 " + gone.Addr().String() + "\n")
	failures := func(url string) uint32 {
		e, err := exchange.Explain(r.proxy.Generation(), exchange.Question{Method: "GET", URL: url})
		if err != nil {
			t.Fatal(err)
		}
		return e.Forward.Backends[0].Endpoints[0].Failures
	}
	for _, step := range []struct {
		answer string
		want   uint32
	}{
		{"HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n", 1},
		{"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", 2},
		{"HTTP/9 nonsense\r\n\r\n", 3},
		{ok2, 0},
	} {
		answer.Store(&step.answer)
		r.ask(get("/"))
		eventually(t, "the result is known", func() bool { return failures("http://a/") == step.want })
	}
	r.dialTo(81).closed()
	eventually(t, "the result is known", func() bool { return failures("tcp://localhost:81") > 0 })
}
