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
// listener, those of hosts among them (model.Host, model.Relay).
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
relay exact 443 name=raw.example.com forward=s:1
relay one 443 name=*.example.com forward=s:1
relay many 443 name=**.example.org terminate forward=s:1
relay longer 443 name=**.b.example.org forward=s:1
relay rest 6443 name=* forward=s:1
relay tcp 5432 forward=s:1
relay udp 53/udp respond=503:closed
service s:1 round-robin
`)
	port := func(n uint16) model.ListenerID { return model.ListenerID{Port: n} }
	for _, test := range []struct {
		listener model.ListenerID
		name     string
		want     string // the relay, or http
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
		relay, http := g.Relays(test.listener).Match(test.name)
		got := ""
		if relay != nil {
			got = relay.Rule.ID
		}
		if http {
			got += "http"
		}
		if got != test.want {
			t.Errorf("%s %q: %s, want %s", test.listener, test.name, cmp.Or(got, "nothing"), test.want)
		}
	}
	if g.Relays(port(80)) != nil || g.Relays(port(7443)) != nil {
		t.Error("a listener without relays has some")
	}
	for id, want := range map[model.ListenerID]reason.Outcome{{Port: 53, UDP: true}: reason.Closed, port(5432): reason.OK, port(80): reason.OK} {
		if v := g.MayOpen(&policy.Inbound{Listener: id}); v.Outcome != want {
			t.Errorf("%s: %+v, want %s", id, v, want)
		}
	}
}

// TestRelayWeights: shares are drawn by weight, and those of backends that
// cannot be had are refused.
func TestRelayWeights(t *testing.T) {
	g := compiled(t, `listener 1 tcp
relay r 1 forward
backend a:1 3
backend none 1 respond=503:backend_invalid
backend b:1 0
service a:1 round-robin
service b:1 round-robin
`)
	relay, _ := g.Relays(model.ListenerID{Port: 1}).Match("")
	refused, drawn := 0, map[string]int{}
	const draws = 4000
	for range draws {
		if cluster, respond := relay.Draw(); respond != nil {
			refused++
		} else {
			drawn[cluster.Service.Name]++
		}
	}
	if drawn["b:1"] > 0 || refused < draws/5 || refused > draws*3/10 || drawn["a:1"]+refused != draws {
		t.Errorf("%v, and %d refused", drawn, refused)
	}
	none := compiled(t, "listener 1 tcp\nrelay r 1 forward\nbackend a:1 0\nservice a:1 round-robin\n")
	relay, _ = none.Relays(model.ListenerID{Port: 1}).Match("")
	if _, respond := relay.Draw(); respond == nil {
		t.Error("a backend without a weight got a connection")
	}
}

// TestExplainRelays: URLs of layer 4 say which relay takes a connection and why
// the others of the listener do not.
func TestExplainRelays(t *testing.T) {
	g := compiled(t, `listener 443 https
listener 5432 tcp
listener 53/udp udp
listener 80 http
host web.example.com 443
block test by-specificity
rule w prefix:/ respond=404:no_route
relay one 443 name=one.example.com forward=s:1 idle=1m0s
relay wide 443 name=*.example.com respond=503:closed why=x
relay db 5432 forward
backend s:1 3
backend none 1 respond=503:backend_invalid why=gone
relay dns 53/udp forward=s:1
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
		if err != nil || e.Rule == nil || e.Rule.ID != test.rule || e.Relayed == (test.rule == "w") {
			t.Errorf("%s: %+v %v", test.url, e, err)
			continue
		}
		lost, answer := "", ""
		for _, l := range e.LostRelays {
			lost += l.Rule + ":" + l.Failed
		}
		if e.Answer != nil && e.Relayed {
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
