package exchange

import (
	"net/netip"
	"testing"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/observe"
	"windrose.dev/windrose/internal/proxy/sock"
	"windrose.dev/windrose/internal/proxy/upstream"
)

// TestPickTriesEachEndpointOnce checks that what failed is not tried again
// while there is another.
func TestPickTriesEachEndpointOnce(t *testing.T) {
	for _, policy := range []model.Balance{model.RoundRobin, model.LeastRequest} {
		s := model.Freeze(model.Parts{
			Config: model.Config{Services: []model.Service{{ID: "a/b:80", Balance: policy}}},
			Endpoints: []model.Endpoints{{Service: "a/b:80", Endpoints: []model.Endpoint{
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
		cluster := g.Clusters[0]
		for range 100 {
			var tried []*Endpoint
			seen := map[string]bool{}
			for range 3 {
				e := cluster.Pick(tried)
				tried = append(tried, e)
				seen[e.Name] = true
			}
			if len(seen) != 3 || cluster.Pick(tried) == nil {
				t.Fatalf("%d endpoints in 3 attempts", len(seen))
			}
		}
		if n := testing.AllocsPerRun(100, func() { cluster.Pick(nil) }); n != 0 {
			t.Errorf("%v allocations a pick", n)
		}
	}
}
