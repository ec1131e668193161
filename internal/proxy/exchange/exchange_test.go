package exchange

import (
	"net/netip"
	"testing"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/observe"
	"windrose.dev/windrose/internal/proxy/sock"
	"windrose.dev/windrose/internal/proxy/upstream"
	"windrose.dev/windrose/internal/reason"
)

// TestPickTriesEachEndpointOnce checks that what failed is not tried again
// while there is another.
func TestPickTriesEachEndpointOnce(t *testing.T) {
	for _, policy := range []model.Balance{model.RoundRobin, model.LeastRequest} {
		s := model.Freeze(model.Parts{
			Config: model.Config{Services: []model.Service{{ID: model.ParseServiceID("a/b:80"), Balance: policy}}},
			Endpoints: []model.Endpoints{{Service: model.ParseServiceID("a/b:80"), Endpoints: []model.Endpoint{
				{Addr: netip.MustParseAddrPort("10.0.0.1:1")},
				{Addr: netip.MustParseAddrPort("10.0.0.2:1")},
				{Addr: netip.MustParseAddrPort("10.0.0.3:1")},
			}}},
		})
		c := Compiler{Registry: upstream.NewRegistry(upstream.Config{Shards: 1, Clock: sock.NewClock()}), Metrics: observe.NewMetrics(0)}
		g, _, err := c.Compile(s, nil)
		if err != nil {
			t.Fatal(err)
		}
		cluster := g.Clusters[model.ParseServiceID("a/b:80")]
		for range 100 {
			var tried []*upstream.Endpoint
			seen := map[string]bool{}
			reserve := func() *upstream.Endpoint {
				l, _ := cluster.Reserve(upstream.Pick{Tried: tried})
				l.Done(upstream.Result{})
				return l.Endpoint
			}
			for range 3 {
				e := reserve()
				tried = append(tried, e)
				seen[e.Name] = true
			}
			if len(seen) != 3 || reserve() == nil {
				t.Fatalf("%d endpoints in 3 attempts", len(seen))
			}
		}
		if n := testing.AllocsPerRun(100, func() {
			l, _ := cluster.Reserve(upstream.Pick{})
			l.Done(upstream.Result{})
		}); n != 0 {
			t.Errorf("%v allocations a pick", n)
		}
	}
}

// TestCompileTakesOver checks that a Generation takes over just those routes
// of the one before of which nothing changed: their host, the services, and
// where they were written.
func TestCompileTakesOver(t *testing.T) {
	parts := func(services ...string) model.Parts {
		p := model.Parts{Origins: map[string]reason.Origin{"a": {File: "a.yaml", Line: 1}, "b": {File: "b.yaml", Line: 1}}}
		for _, id := range services {
			p.Config.Services = append(p.Config.Services, model.Service{ID: model.ParseServiceID(id)})
		}
		p.Config.Listeners = []model.Listener{{ID: model.ListenerID{Port: 80}}}
		for _, id := range []string{"a", "b"} {
			p.Config.Hosts = append(p.Config.Hosts, model.Host{Name: id, Listeners: []model.ListenerID{{Port: 80}}, Blocks: []model.Block{{Rules: []model.Rule{
				{ID: id, Forward: &model.Forward{Backends: []model.Backend{{Service: model.ParseServiceID("n/s:80"), Weight: 1}}}},
			}}}})
		}
		return p
	}
	c := Compiler{Registry: upstream.NewRegistry(upstream.Config{Shards: 1, Clock: sock.NewClock()}), Metrics: observe.NewMetrics(0)}
	compile := func(p model.Parts, old *Generation) *Generation {
		g, _, err := c.Compile(model.Freeze(p), old)
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	for name, test := range map[string]struct {
		parts    func() model.Parts
		takeOver [2]bool // a and b
	}{
		"nothing": {func() model.Parts { return parts("n/s:80") }, [2]bool{true, true}},
		"host a":  {func() model.Parts { p := parts("n/s:80"); p.Config.Hosts[0].Blocks[0].MergeSlashes = true; return p }, [2]bool{false, true}},
		"line of b": {func() model.Parts {
			p := parts("n/s:80")
			p.Origins["b"] = reason.Origin{File: "b.yaml", Line: 7}
			return p
		}, [2]bool{true, false}},
		"another service": {func() model.Parts { return parts("n/a:80", "n/s:80") }, [2]bool{true, true}},
		"the service": {func() model.Parts {
			p := parts("n/s:80")
			p.Config.Services[0].Balance = model.LeastRequest
			return p
		}, [2]bool{false, false}},
	} {
		old := compile(parts("n/s:80"), nil)
		g := compile(test.parts(), old)
		for i := range 2 {
			if taken := g.hosts[i] == old.hosts[i]; taken != test.takeOver[i] {
				t.Errorf("%s changed: host %d taken over: %v", name, i, taken)
			}
			r := g.hosts[i].routes[0]
			if service := r.backends[0].cluster.Service; service.ID != model.ParseServiceID("n/s:80") {
				t.Errorf("%s changed: host %d leads to %s", name, i, service.ID)
			}
			if origin := g.Snapshot.Origins[r.Rule.ID]; r.Origin != origin.Place() {
				t.Errorf("%s changed: host %d says it stands at %s, and stands at %s", name, i, r.Origin, origin.Place())
			}
		}
	}
}
