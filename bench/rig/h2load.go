package rig

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// H2load is one run of nghttp2's h2load, over HTTP/2.
type H2load struct {
	URL  string
	CPUs string
	// Connections is the number of connections, and Streams the concurrent streams on
	// each.
	Connections, Streams int
	Duration             time.Duration
	// Args are further options.
	Args []string
}

// Run runs h2load with one thread.
func (l H2load) Run(ctx context.Context) (Load, error) {
	out, err := generate(ctx, generator{Tool: "h2load", CPUs: l.CPUs, Duration: l.Duration}, func(seconds int) []string {
		args := []string{"-t1", "-c" + strconv.Itoa(l.Connections), "-m" + strconv.Itoa(l.Streams), fmt.Sprintf("-D%d", seconds)}
		return append(append(args, l.Args...), l.URL)
	})
	if err != nil {
		return Load{}, err
	}
	return parseH2load(out)
}

var (
	h2loadRate     = regexp.MustCompile(`finished in [^,]+, ([\d.]+) req/s`)
	h2loadRequests = regexp.MustCompile(`requests: (\d+) total, \d+ started, \d+ done, (\d+) succeeded, (\d+) failed`)
	h2loadStatus   = regexp.MustCompile(`status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx`)
	h2loadTime     = regexp.MustCompile(`time for request:\s+\S+\s+\S+\s+([\d.]+[mu]?s)`)
)

// parseH2load reads h2load's report. It has no percentiles, so both are the mean.
func parseH2load(out string) (Load, error) {
	requests := h2loadRequests.FindStringSubmatch(out)
	rate := h2loadRate.FindStringSubmatch(out)
	if requests == nil || rate == nil {
		return Load{}, fmt.Errorf("h2load says nothing of requests: %s", out)
	}
	var l Load
	l.Requests, _ = strconv.ParseInt(requests[2], 10, 64)
	l.PerSecond, _ = strconv.ParseFloat(rate[1], 64)
	l.P50 = latency(h2loadTime, out)
	l.P99 = l.P50
	l.Failed = count([]string{"", requests[3]})
	if status := h2loadStatus.FindStringSubmatch(out); status != nil {
		l.Failed += count(status[2:])
	}
	return l, nil
}
