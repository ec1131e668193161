package exchange

import (
	"cmp"
	"strings"
	"testing"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/observe"
	"windrose.dev/windrose/internal/proxy/policy"
	"windrose.dev/windrose/internal/proxy/sock"
	"windrose.dev/windrose/internal/proxy/upstream"
	"windrose.dev/windrose/internal/reason"
)

func compiled(t *testing.T, text string) *Generation {
	t.Helper()
	s, err := model.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	c := Compiler{Metrics: observe.NewMetrics(0), Registry: upstream.NewRegistry(upstream.Config{Shards: 1, Clock: sock.NewClock()})}
	g, _, err := c.Compile(s, nil)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// TestServerNames: a connection goes to the most specific of all names at its
// listener, those of hosts among them (model.Host, model.L4Route).
func TestServerNames(t *testing.T) {
	g := compiled(t, `listener 80 http
listener 443 https
listener 5432 tcp
listener 53/udp udp
listener 6443 tls
listener 7443 https
host a.raw.example.com 443
host deep.b.example.org 443
host *.example.net 443
l4-route exact 443 name=raw.example.com forward=s:1
l4-route one 443 name=*.example.com forward=s:1
l4-route many 443 name=**.example.org terminate forward=s:1
l4-route longer 443 name=**.b.example.org forward=s:1
l4-route rest 6443 name=* forward=s:1
l4-route tcp 5432 forward=s:1
l4-route udp 53/udp respond=503:closed
service s:1 round-robin
`)
	port := func(n uint16) model.ListenerID { return model.ListenerID{Port: n} }
	for _, test := range []struct {
		listener model.ListenerID
		name     string
		want     string // the L4 route, or http
	}{
		{port(443), "raw.example.com", "exact"},
		{port(443), "x.example.com", "one"},
		{port(443), "x.y.example.com", "http"}, // one label more, not two
		{port(443), "a.raw.example.com", "http"},
		{port(443), "b.raw.example.com", "http"},
		{port(443), "x.example.org", "many"},
		{port(443), "x.y.z.example.org", "many"},
		{port(443), "x.b.example.org", "longer"},
		{port(443), "deep.b.example.org", "http"},
		{port(443), "b.example.org", "many"},
		{port(443), "example.org", "http"},
		{port(443), "x.example.net", "http"},
		{port(443), "", "http"},
		{port(6443), "x.example.com", "rest"},
		{port(6443), "", "rest"},
		{port(5432), "", "tcp"},
		{model.ListenerID{Port: 53, UDP: true}, "", "udp"},
	} {
		l4Route, http := g.L4Routes(test.listener).Match(test.name)
		got := ""
		if l4Route != nil {
			got = l4Route.Rule.ID
		}
		if http {
			got += "http"
		}
		if got != test.want {
			t.Errorf("%s %q: %s, want %s", test.listener, test.name, cmp.Or(got, "nothing"), test.want)
		}
	}
	if g.L4Routes(port(80)) != nil || g.L4Routes(port(7443)) != nil {
		t.Error("a listener without L4 routes has some")
	}
	for id, want := range map[model.ListenerID]reason.Outcome{{Port: 53, UDP: true}: reason.Closed, port(5432): reason.OK, port(80): reason.OK} {
		if v := g.MayOpen(&policy.Inbound{Listener: id}); v.Outcome != want {
			t.Errorf("%s: %+v, want %s", id, v, want)
		}
	}
}

// TestL4RouteWeights: shares are drawn by weight, and those of backends that
// cannot be had are refused.
func TestL4RouteWeights(t *testing.T) {
	g := compiled(t, `listener 1 tcp
l4-route r 1 forward
backend a:1 3
backend none 1 respond=503:backend_invalid
backend b:1 0
service a:1 round-robin
service b:1 round-robin
`)
	l4Route, _ := g.L4Routes(model.ListenerID{Port: 1}).Match("")
	refused, drawn := 0, map[string]int{}
	const draws = 4000
	for range draws {
		if cluster, respond := l4Route.Draw(); respond != nil {
			refused++
		} else {
			drawn[cluster.Service.Name]++
		}
	}
	if drawn["b:1"] > 0 || refused < draws/5 || refused > draws*3/10 || drawn["a:1"]+refused != draws {
		t.Errorf("%v, and %d refused", drawn, refused)
	}
	none := compiled(t, "listener 1 tcp\nl4-route r 1 forward\nbackend a:1 0\nservice a:1 round-robin\n")
	l4Route, _ = none.L4Routes(model.ListenerID{Port: 1}).Match("")
	if _, respond := l4Route.Draw(); respond == nil {
		t.Error("a backend without a weight got a connection")
	}
}

// TestExplainL4Routes: URLs of layer 4 say which L4 route takes a connection and why
// the others of the listener do not.
func TestExplainL4Routes(t *testing.T) {
	g := compiled(t, `listener 443 https
listener 5432 tcp
listener 53/udp udp
listener 80 http
host web.example.com 443
block test by-specificity
rule w prefix:/ respond=404:no_route
l4-route one 443 name=one.example.com forward=s:1 idle=1m0s
l4-route wide 443 name=*.example.com respond=503:closed why=x
l4-route db 5432 forward
backend s:1 3
backend none 1 respond=503:backend_invalid why=gone
l4-route dns 53/udp forward=s:1
service s:1 round-robin
endpoint s:1 10.0.0.1:1
`)
	for _, test := range []struct{ url, rule, lost, answer, err string }{
		{"tls://one.example.com", "one", "wide:order", "", ""},
		{"https://ONE.example.com:8443/a", "one", "wide:order", "", ""},
		{"tls://two.example.com:443", "wide", "one:server name", "closed", ""},
		{"tcp://localhost:5432", "db", "", "", ""},
		{"udp://localhost:53", "dns", "", "", ""},
		{"tls://web.example.com", "", "", "", "belongs to HTTP"},
		{"tcp://localhost:80", "", "", "", "speaks HTTP alone"},
		{"tcp://localhost", "", "", "", "names no port"},
		{"udp://localhost:54", "", "", "", "no listener for"},
		{"https://web.example.com/", "w", "", "", ""},
	} {
		e, err := Explain(g, Question{URL: test.url})
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("%s: %v", test.url, err)
			}
			continue
		}
		if err != nil || e.Rule == nil || e.Rule.ID != test.rule || e.Layer4 == (test.rule == "w") {
			t.Errorf("%s: %+v %v", test.url, e, err)
			continue
		}
		lost, answer := "", ""
		for _, l := range e.LostL4Routes {
			lost += l.Rule + ":" + l.Failed
		}
		if e.Answer != nil && e.Layer4 {
			answer = e.Answer.Outcome
		}
		if lost != test.lost || answer != test.answer {
			t.Errorf("%s: lost %q, answer %q", test.url, lost, answer)
		}
	}
	e, err := Explain(g, Question{URL: "tcp://localhost:5432"})
	if err != nil || len(e.Forward.Backends) != 2 || e.Forward.Backends[0].Share != 75 || len(e.Forward.Backends[0].Endpoints) != 1 || e.Forward.Backends[1].Answer == nil {
		t.Errorf("%+v %v", e.Forward, err)
	}
}
