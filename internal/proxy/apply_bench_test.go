package proxy_test

import (
	"fmt"
	"net"
	"net/netip"
	"testing"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/observe"
	"windrose.dev/windrose/internal/proxy"
	"windrose.dev/windrose/internal/proxy/filter"
	"windrose.dev/windrose/internal/proxy/settings"
	"windrose.dev/windrose/internal/reason"
)

// manyRoutes is a configuration of as many hosts and services, with four endpoints
// each. shift moves the endpoints of the first.
func manyRoutes(n, shift int) model.Parts {
	p := model.Parts{Origins: map[string]reason.Origin{}}
	p.Config.Listeners = []model.Listener{{ID: model.ListenerID{Port: 80}}}
	for i := range n {
		name := fmt.Sprintf("web-%d", i)
		id, service := "ingress/bench/"+name+"/0/0", model.ServiceID{Namespace: "bench", Name: name, Port: "80"}
		p.Origins[id] = reason.Origin{Kind: "Ingress", Namespace: "bench", Name: fmt.Sprintf("web-%d", i), File: fmt.Sprintf("%d.yaml", i), Line: 7}
		p.Config.Hosts = append(p.Config.Hosts, model.Host{
			Name: fmt.Sprintf("host-%d.example.com", i), Listeners: []model.ListenerID{{Port: 80}},
			Blocks: []model.Block{{Dialect: "ingress", Rules: []model.Rule{{
				ID: id, Path: model.PathMatch{Kind: model.PrefixPath, Value: "/"},
				Forward: &model.Forward{Backends: []model.Backend{{Service: service, Weight: 1}}},
			}}}},
		})
		p.Config.Services = append(p.Config.Services, model.Service{ID: service})
		one := model.Endpoints{Service: service}
		for k := range 4 {
			last := byte(k + 1)
			if i == 0 {
				last += byte(shift % 100)
			}
			one.Endpoints = append(one.Endpoints, model.Endpoint{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), last}), 8080)})
		}
		p.Endpoints = append(p.Endpoints, one)
	}
	return p
}

// manyCertificates are manyRoutes over TLS, with a Secret for each host. That of the first
// has the pair of shift.
func manyCertificates(n int, pairs []keyPair, shift int) model.Parts {
	p := manyRoutes(n, 0)
	id := model.ListenerID{Port: 443}
	l := model.Listener{ID: id, Protocol: model.HTTPS}
	for i := range p.Config.Hosts {
		h := &p.Config.Hosts[i]
		h.Listeners = append(h.Listeners, id)
		secret := model.Secret{Name: fmt.Sprintf("bench/tls-%d", i), Chain: pairs[0].chain, Key: pairs[0].key}
		if i == 0 {
			secret.Chain, secret.Key = pairs[shift].chain, pairs[shift].key
		}
		p.Secrets = append(p.Secrets, secret)
		l.Certificates = append(l.Certificates, model.Certificate{Host: h.Name, Secret: secret.Name})
	}
	p.Config.Listeners = append(p.Config.Listeners, l)
	return p
}

// BenchmarkApplySecret is what the same proxy does when the certificate of one of 5,000
// hosts is rotated.
func BenchmarkApplySecret(b *testing.B) {
	pairs := []keyPair{newKeyPair(b, "a"), newKeyPair(b, "b"), newKeyPair(b, "c")}
	benchmarkApply(b, model.Freeze(manyCertificates(5000, pairs, 1)), model.Freeze(manyCertificates(5000, pairs, 2)))
}

// BenchmarkApplyEndpoints is what a proxy of 5,000 routes and 20,000 endpoints does when
// the endpoints of one Service change. The design allows for 2 ms.
func BenchmarkApplyEndpoints(b *testing.B) {
	benchmarkApply(b, model.Freeze(manyRoutes(5000, 0)), model.Freeze(manyRoutes(5000, 1)))
}

// benchmarkApply applies two Snapshots by turns.
func benchmarkApply(b *testing.B, first, second *model.Snapshot) {
	p, err := proxy.New(proxy.Config{
		Filters: filter.Table(), Metrics: observe.NewMetrics(0), Limits: settings.DefaultLimits(),
		Listen: func(string) (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") },
	})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := p.Apply(second); err != nil {
		b.Fatal(err)
	}
	snapshots := []*model.Snapshot{first, second}
	for i := 0; b.Loop(); i++ {
		if _, err := p.Apply(snapshots[i%2]); err != nil {
			b.Fatal(err)
		}
	}
}
