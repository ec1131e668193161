package main

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"windrose.dev/windrose/bench/rig"
)

// load is one kind of traffic, on one or two cores.
type load struct {
	name   string
	secure bool
	http2  bool
	// call makes the requests gRPC calls. tcp loads the port of layer 4, which the nginx
	// here does not have.
	call, tcp bool
	// http3 loads are sent by the program h3load.
	http3  bool
	h3load string
	// budget bounds the ratio of our CPU per request to the better peer's; 0 is none.
	budget float64
}

var (
	oneCore = []load{
		{name: "HTTP/1.1", budget: 1.25},
		{name: "HTTPS, HTTP/1.1", secure: true, budget: 1.0},
		{name: "HTTPS, HTTP/2", secure: true, http2: true, budget: 1.1},
		{name: "gRPC, unary", secure: true, http2: true, call: true, budget: 1.2},
		{name: "TCP, 1 MB a request", tcp: true, budget: 1 / 0.95},
	}
	twoCores = []load{
		{name: "HTTP/1.1" + onTwoCores},
		{name: "HTTPS, HTTP/1.1" + onTwoCores, secure: true},
		{name: "HTTPS, HTTP/2" + onTwoCores, secure: true, http2: true},
	}
)

// connections is the number of keep-alive connections. Over HTTP/2 there are fewer, with
// so many streams on each that there are twice as many concurrent requests.
const (
	connections      = 64
	http2Connections = 8
	http2Streams     = 16
)

// takes reports whether a proxy can serve the load.
func (l load) takes(c *contender) bool { return !l.tcp || c.name != "nginx" }

// run sends the load to a proxy.
func (b *bench) run(ctx context.Context, l load, c *contender, cpus string, duration time.Duration) (rig.Load, error) {
	url := "http://" + c.plain + "/"
	switch {
	case l.secure:
		url = "https://" + c.secure + "/"
	case l.tcp:
		url = "http://" + c.tcp + "/"
	}
	if l.http3 {
		return rig.H3load{Bin: l.h3load, URL: url, CPUs: cpus, Connections: http2Connections, Streams: http2Streams, Duration: duration}.Run(ctx)
	}
	if l.http2 {
		h2 := rig.H2load{URL: url, CPUs: cpus, Connections: http2Connections, Streams: http2Streams, Duration: duration}
		if l.call {
			message, err := b.rig.File("message", make([]byte, 5)) // an empty, uncompressed message
			if err != nil {
				return rig.Load{}, err
			}
			h2.URL += "grpc.bench/Call"
			h2.Args = []string{"-d", message, "-H", "content-type: application/grpc", "-H", "te: trailers"}
		}
		return h2.Run(ctx)
	}
	return rig.Wrk{URL: url, CPUs: cpus, Connections: connections, Duration: duration}.Run(ctx)
}

func itoa(n int) string { return strconv.Itoa(n) }

// sideBySide compares the proxies on one core and on two, and measures how the CPU time
// per request grows from one core to two.
func (b *bench) sideBySide(ctx context.Context) error {
	one, err := b.compare(ctx, oneCore, "0", "1", 1)
	if err != nil || b.quick {
		return err
	}
	two, err := b.compare(ctx, twoCores, "0,1", "0,1", 2)
	if err != nil {
		return err
	}
	for _, row := range two {
		same := func(other Row) bool { return other.Load+onTwoCores == row.Load && other.Proxy == row.Proxy }
		b.scaling(one[slices.IndexFunc(one, same)], row)
	}
	return nil
}

// onTwoCores is the suffix for the names of loads on two cores; the names are otherwise
// the same as on one core.
const onTwoCores = ", two cores"

// scaling compares the capacity of two threads, in requests per CPU second, with that of
// one: two threads have twice the CPU seconds, each worth the ratio of the costs.
func (b *bench) scaling(one, two Row) {
	f := Figure{
		Section: "two cores", Name: one.Load + ", " + one.Proxy, Unit: "× one core",
		Value: 2 * one.CPU / two.CPU, AtLeast: true,
		Note: fmt.Sprintf("2 × %.1f µs ÷ %.1f µs; load generator and backend share the cores", one.CPU, two.CPU),
	}
	if one.Proxy == ours {
		f.Budget = 1.8
	}
	b.figure(f)
}

// compare runs all rounds of some loads and adds their rows.
func (b *bench) compare(ctx context.Context, loads []load, proxyCPUs, otherCPUs string, threads int) ([]Row, error) {
	f, err := b.newField(ctx, proxyCPUs, otherCPUs, threads)
	if err != nil {
		return nil, err
	}
	defer f.stop()
	var rows []Row
	for _, l := range loads {
		if !strings.Contains(l.name, b.loads) {
			continue
		}
		best := newRows(l, f)
		for round := range b.rounds {
			for i, c := range f.all {
				if !l.takes(c) {
					continue
				}
				if err := b.round(ctx, &best[i], c, l, otherCPUs); err != nil {
					return nil, err
				}
			}
			b.say("%s, round %d: %s", l.name, round+1, summary(best))
		}
		best = slices.DeleteFunc(best, func(row Row) bool { return math.IsInf(row.CPU, 1) })
		rows = append(rows, rated(best, l.budget)...)
	}
	b.result.Rows = append(b.result.Rows, rows...)
	return rows, nil
}

func newRows(l load, f *field) []Row {
	rows := make([]Row, len(f.all))
	for i, c := range f.all {
		rows[i] = Row{Load: l.name, Proxy: c.name, CPU: math.Inf(1), P50: math.Inf(1), P99: math.Inf(1)}
	}
	return rows
}

// round warms a proxy up, measures it, and keeps the result in row if it is better.
func (b *bench) round(ctx context.Context, row *Row, c *contender, l load, cpus string) error {
	if _, err := b.run(ctx, l, c, cpus, b.warmUp); err != nil {
		return err
	}
	before, err := c.process.Usage()
	if err != nil {
		return err
	}
	got, err := b.run(ctx, l, c, cpus, b.duration)
	if err != nil {
		return err
	}
	after, err := c.process.Usage()
	if err != nil {
		return err
	}
	row.keep(got, after.CPU-before.CPU, after.RSS)
	return nil
}

func (row *Row) keep(got rig.Load, cpu time.Duration, rss int64) {
	row.CPU = min(row.CPU, float64(cpu)/float64(time.Microsecond)/float64(max(got.Requests, 1)))
	row.PerSecond = max(row.PerSecond, got.PerSecond)
	row.P50, row.P99 = min(row.P50, millis(got.P50)), min(row.P99, millis(got.P99))
	row.RSS = megabytes(rss)
	row.Failed += got.Failed
	row.Late += got.Late
}

func summary(rows []Row) string {
	words := make([]string, len(rows))
	for i, row := range rows {
		words[i] = fmt.Sprintf("%s %.1f µs", row.Proxy, row.CPU)
	}
	return strings.Join(words, ", ")
}

// rated adds the ratios to the better peer, and our budget.
func rated(rows []Row, budget float64) []Row {
	better := math.Inf(1)
	for _, row := range rows {
		if row.Proxy == "nginx" || row.Proxy == "haproxy" {
			better = min(better, row.CPU)
		}
	}
	for i := range rows {
		rows[i].Ratio = rows[i].CPU / better
		if rows[i].Proxy == ours {
			rows[i].Budget = budget
		}
	}
	return rows
}
