package exchange

import (
	"testing"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/observe"
	"windrose.dev/windrose/internal/proxy/sock"
	"windrose.dev/windrose/internal/proxy/upstream"
	"windrose.dev/windrose/internal/reason"
)

// TestUnspokenIsClosed: what asks for a protocol or for TLS that the engine
// does not speak is closed, and nothing else of its rule; a mirror to it is
// left out.
func TestUnspokenIsClosed(t *testing.T) {
	rule := model.Rule{
		ID:      "r",
		Mirrors: []model.Mirror{{Service: "n/tls:443", Share: 1, Of: 1}, {Service: "n/s:80", Share: 1, Of: 1}},
		Forward: &model.Forward{Backends: []model.Backend{
			{Service: "n/s:80", Weight: 1, Mirrors: []model.Mirror{{Service: "n/h2c:80", Share: 1, Of: 1}}},
			{Service: "n/h2c:80", Weight: 2},
			{Service: "n/tls:443", Weight: 3},
		}},
	}
	s := model.Freeze(model.Parts{Config: model.Config{
		Listeners: []model.Listener{{ID: model.ListenerID{Port: 80}}},
		Services: []model.Service{
			{ID: "n/s:80"}, {ID: "n/h2c:80", Protocol: model.HTTP2}, {ID: "n/tls:443", TLS: &model.UpstreamTLS{Unverified: true}},
		},
		Hosts: []model.Host{{Name: "a", Listeners: []model.ListenerID{{Port: 80}}, Blocks: []model.Block{{Rules: []model.Rule{rule}}}}},
	}})
	c := Compiler{Registry: upstream.NewRegistry(upstream.Config{Shards: 1, Clock: sock.NewClock()}), Metrics: observe.NewMetrics(0)}
	g, reports, err := c.Compile(s, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(reports) != 2 || reports[0].Code != reason.SnapshotUnsupported {
		t.Errorf("reports %v", reports)
	}
	r := g.hosts[0].routes[0]
	if len(r.mirrors) != 1 || len(r.backends[0].mirrors) != 0 || r.total != 6 {
		t.Errorf("mirrors %v and %v, weight %d", r.mirrors, r.backends[0].mirrors, r.total)
	}
	for i, closed := range []bool{false, true, true} {
		answer := r.backends[i].respond
		if (answer != nil) != closed || closed && (answer.Status != 503 || answer.Outcome != reason.Closed) {
			t.Errorf("backend %d answers %+v", i, answer)
		}
	}
}
