package rig

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// Wrk is one run of wrk.
type Wrk struct {
	URL         string
	CPUs        string
	Connections int
	Duration    time.Duration
	// Args are further options.
	Args []string
}

// Run runs wrk with one thread.
func (w Wrk) Run(ctx context.Context) (Load, error) {
	out, err := generate(ctx, generator{Tool: "wrk", CPUs: w.CPUs, Duration: w.Duration}, func(seconds int) []string {
		args := []string{"--latency", "-t1", "-c" + strconv.Itoa(w.Connections), fmt.Sprintf("-d%ds", seconds)}
		return append(append(args, w.Args...), w.URL)
	})
	if err != nil {
		return Load{}, err
	}
	return parseWrk(out)
}

var (
	wrkRequests = regexp.MustCompile(`(\d+) requests in`)
	wrkRate     = regexp.MustCompile(`Requests/sec:\s+([\d.]+)`)
	wrkP50      = regexp.MustCompile(`50%\s+([\d.]+[mu]?s)`)
	wrkP99      = regexp.MustCompile(`99%\s+([\d.]+[mu]?s)`)
	wrkStatus   = regexp.MustCompile(`Non-2xx or 3xx responses: (\d+)`)
	wrkErrors   = regexp.MustCompile(`Socket errors: connect (\d+), read (\d+), write (\d+)`)
	wrkLate     = regexp.MustCompile(`timeout (\d+)`)
)

func parseWrk(out string) (Load, error) {
	requests := wrkRequests.FindStringSubmatch(out)
	rate := wrkRate.FindStringSubmatch(out)
	if requests == nil || rate == nil {
		return Load{}, fmt.Errorf("wrk says nothing of requests: %s", out)
	}
	var l Load
	l.Requests, _ = strconv.ParseInt(requests[1], 10, 64)
	l.PerSecond, _ = strconv.ParseFloat(rate[1], 64)
	l.P50, l.P99 = latency(wrkP50, out), latency(wrkP99, out)
	l.Late = count(wrkLate.FindStringSubmatch(out))
	l.Failed = count(wrkStatus.FindStringSubmatch(out)) + count(wrkErrors.FindStringSubmatch(out))
	return l, nil
}
