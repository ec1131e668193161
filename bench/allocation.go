package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"windrose.dev/windrose/bench/rig"
	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/observe"
	"windrose.dev/windrose/internal/proxy"
	"windrose.dev/windrose/internal/proxy/filter"
	"windrose.dev/windrose/internal/proxy/settings"
)

// allocations measures how much a request allocates. The proxy runs in this process,
// which does nothing else; wrk sends the load over TLS, and log and metrics are on.
func (b *bench) allocations(ctx context.Context) error {
	f := &field{}
	var err error
	if f.cert, err = b.rig.NewCertificate("bench.example.com"); err != nil {
		return err
	}
	if f.backend, err = b.startBackend(ctx, ""); err != nil {
		return err
	}
	p, stop, err := startInProcess(f)
	if err != nil {
		return err
	}
	defer stop()
	for _, l := range []load{oneCore[1], oneCore[2], oneCore[3]} {
		if err := b.allocate(ctx, l, p); err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
	}
	return nil
}

// allocate measures one kind of load.
func (b *bench) allocate(ctx context.Context, l load, p *inProcess) error {
	const length = 6 * time.Second
	var got rig.Load
	var err error
	var load sync.WaitGroup
	c := &contender{name: ours, secure: p.proxy.Addr(model.ListenerID{Port: 443}).String()}
	load.Go(func() { got, err = b.run(ctx, l, c, "", length) })
	time.Sleep(length / 3) // until the handshakes are over
	requests, made := p.requests(), mallocs()
	time.Sleep(length / 3)
	made = mallocs() - made
	requests = p.requests() - requests
	load.Wait()
	if err != nil || got.Failed > 0 || requests == 0 {
		return fmt.Errorf("%d of %d requests failed: %w", got.Failed, got.Requests, err)
	}
	f := Figure{
		Section: "allocations", Name: "mallocs a request, " + l.name, Value: float64(made) / requests, Unit: "",
		Note: fmt.Sprintf("%.0f requests; TLS, log, metrics and request ids on", requests),
	}
	if !l.http2 {
		f.Budget = 0.1
	}
	b.figure(f)
	return nil
}

func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}

// inProcess is a proxy that runs in this process.
type inProcess struct {
	proxy   *proxy.Proxy
	metrics *observe.Metrics
}

// startInProcess serves as windrose-gateway does, and discards the log.
func startInProcess(f *field) (*inProcess, func(), error) {
	metrics := observe.NewMetrics(0)
	log := observe.NewLog(io.Discard, observe.LogCompact, metrics.Dropped)
	p, err := proxy.New(proxy.Config{
		Filters: filter.Table(), Metrics: metrics, Log: log, Limits: settings.DefaultLimits(),
		Address:   func(model.Listener) string { return "127.0.0.1:0" },
		DrainWait: time.Second,
	})
	if err != nil {
		return nil, nil, err
	}
	if _, err := p.Apply(rig.ForwardAll(rig.Backends{HTTP1: f.backend.HTTP1, HTTP2: f.backend.HTTP2}, f.cert)); err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { log.Run(ctx) })
	running.Go(func() { p.Run(ctx) })
	return &inProcess{p, metrics}, func() { cancel(); running.Wait() }, nil
}

// requests returns the number of requests counted so far.
func (p *inProcess) requests() float64 {
	sum := 0.0
	for line := range strings.Lines(string(p.metrics.WriteText())) {
		if series, value, _ := strings.Cut(strings.TrimSpace(line), "} "); strings.HasPrefix(series, "windrose_requests_total{") {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return 0
			}
			sum += n
		}
	}
	return sum
}
