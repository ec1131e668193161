package main

import (
	"context"
	"math"
)

// http3Load is the load over HTTP/3. It has no peer: the nginx and HAProxy of
// distributions do not speak HTTP/3.
var http3Load = load{name: "HTTP/3", secure: true, http3: true}

// http3 measures CPU per request over HTTP/3, with as many connections as over HTTP/2.
func (b *bench) http3(ctx context.Context) (err error) {
	f := &field{}
	if f.cert, err = b.rig.NewCertificate("bench.example.com"); err != nil {
		return err
	}
	if f.backend, err = b.startBackend(ctx, "1"); err != nil {
		return err
	}
	l := http3Load
	if l.h3load, err = b.rig.BuildH3load(ctx); err != nil {
		return err
	}
	if err := b.startGateway(ctx, f, "0", 1); err != nil {
		return err
	}
	defer f.stop()
	row := Row{Load: l.name, Proxy: ours, CPU: math.Inf(1), P50: math.Inf(1), P99: math.Inf(1)}
	for range b.rounds {
		if err := b.round(ctx, &row, f.all[0], l, "1"); err != nil {
			return err
		}
	}
	b.say("%s: %s", l.name, summary([]Row{row}))
	b.result.Rows = append(b.result.Rows, row)
	return nil
}
