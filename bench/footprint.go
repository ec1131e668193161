package main

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"windrose.dev/windrose/bench/rig"
	"windrose.dev/windrose/internal/model"
)

// starts is how often a program is started to measure how long that takes.
const starts = 10

// settleTime is how long a program is idle before its memory is read.
const settleTime = 3 * time.Second

// footprint measures memory, idle and after load, and the time until ready.
func (b *bench) footprint(ctx context.Context) error {
	cert, err := b.rig.NewCertificate("bench.example.com")
	if err != nil {
		return err
	}
	backend, err := b.startBackend(ctx, "")
	if err != nil {
		return err
	}
	one := rig.ForwardAll(rig.Backends{HTTP1: backend.HTTP1}, cert)
	if err := b.readyTime(ctx, one); err != nil {
		return err
	}
	if err := b.idleMemory(ctx, "idle, one route", one, 12); err != nil {
		return err
	}
	if err := b.idleMemory(ctx, "idle, 5,000 routes and 20,000 endpoints", manyHosts(), 40); err != nil || b.quick {
		return err
	}
	return b.loadedMemory(ctx, one)
}

// startProxy starts windrose-proxy. plain is the address of port 80, admin that of the
// API.
func (b *bench) startProxy(ctx context.Context, s *model.Snapshot) (p *rig.Process, plain, admin string, err error) {
	ports, err := rig.FreePorts(3)
	if err != nil {
		return nil, "", "", err
	}
	plain, admin = rig.Loopback(ports[0]), rig.Loopback(ports[2])
	p, err = b.rig.StartDataPlane(ctx, rig.DataPlane{
		Command: "windrose-proxy", Snapshot: s, Log: "compact",
		Plain: plain, Secure: rig.Loopback(ports[1]), Admin: admin,
	})
	return p, plain, admin, err
}

// readyTime measures the time from before exec until /ready responds 200. It includes the
// polling interval, 1 ms at most.
func (b *bench) readyTime(ctx context.Context, s *model.Snapshot) error {
	best := time.Hour
	for range starts {
		start := time.Now()
		p, _, admin, err := b.startProxy(ctx, s)
		if err != nil {
			return err
		}
		answer, err := http.Get("http://" + admin + "/ready")
		took := time.Since(start)
		p.Stop()
		if err != nil {
			return err
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("/ready answers %s", answer.Status)
		}
		best = min(best, took)
	}
	b.figure(Figure{
		Section: "windrose-proxy", Name: "exec to /ready", Value: millis(best), Unit: "ms", Budget: 100,
		Note: fmt.Sprintf("best of %d", starts),
	})
	return nil
}

func (b *bench) idleMemory(ctx context.Context, name string, s *model.Snapshot, budget float64) error {
	p, _, _, err := b.startProxy(ctx, s)
	if err != nil {
		return err
	}
	defer p.Stop()
	return b.memory("RSS "+name, p, budget)
}

// memory adds a figure for the memory that a program uses at rest.
func (b *bench) memory(name string, p *rig.Process, budget float64) error {
	time.Sleep(settleTime)
	u, err := p.Usage()
	if err != nil {
		return err
	}
	b.figure(Figure{
		Section: "windrose-proxy", Name: name, Value: megabytes(u.RSS), Unit: "MB", Budget: budget,
		Note: fmt.Sprintf("anonymous %.1f MB", megabytes(u.Anonymous)),
	})
	return nil
}

// loadedMemory measures the memory after a million requests.
func (b *bench) loadedMemory(ctx context.Context, s *model.Snapshot) error {
	p, plain, _, err := b.startProxy(ctx, s)
	if err != nil {
		return err
	}
	defer p.Stop()
	requests := int64(0)
	for requests < 1_000_000 {
		got, err := rig.Wrk{URL: "http://" + plain + "/", Connections: connections, Duration: 5 * time.Second}.Run(ctx)
		if err != nil {
			return err
		}
		if got.Requests == 0 || got.Failed > 0 {
			return fmt.Errorf("%d requests, %d failed", got.Requests, got.Failed)
		}
		requests += got.Requests
	}
	return b.memory(fmt.Sprintf("RSS after %.1f M requests, log on", float64(requests)/1e6), p, 0)
}

// manyHosts returns a Snapshot of 5,000 hosts, each with a route to its own service.
func manyHosts() *model.Snapshot {
	var parts model.Parts
	parts.Config.Listeners = []model.Listener{{ID: model.ListenerID{Port: 80}}}
	for i := range manyRoutes {
		service := model.ServiceID{Namespace: "bench", Name: fmt.Sprintf("web-%d", i), Port: "80"}
		parts.Config.Services = append(parts.Config.Services, model.Service{ID: service})
		parts.Config.Hosts = append(parts.Config.Hosts, model.Host{
			Name: fmt.Sprintf("host-%d.example.com", i), Listeners: []model.ListenerID{{Port: 80}},
			Blocks: []model.Block{{Dialect: "ingress", Rules: []model.Rule{{
				ID: fmt.Sprintf("ingress/bench/web-%d/0/0", i), Path: model.PathMatch{Kind: model.PrefixPath, Value: "/"},
				Forward: &model.Forward{Backends: []model.Backend{{Service: service, Weight: 1}}},
			}}}},
		})
		endpoints := model.Endpoints{Service: service}
		for e := range endpointsPerService {
			n := i*endpointsPerService + e
			addr := netip.AddrFrom4([4]byte{10, 1, byte(n >> 8), byte(n)})
			endpoints.Endpoints = append(endpoints.Endpoints, model.Endpoint{Addr: netip.AddrPortFrom(addr, 8080)})
		}
		parts.Endpoints = append(parts.Endpoints, endpoints)
	}
	return model.Freeze(parts)
}
