package rig

import (
	"context"
	"fmt"
	"os/exec"
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

// Load is what a run of wrk came to.
type Load struct {
	Requests  int64
	PerSecond float64
	P50, P99  time.Duration
	// Failed counts answers other than 2xx and 3xx, and errors of sockets.
	Failed int64
	// Late counts answers that took more than wrk's 2 s: on a machine that has
	// other things to do, that is no fault of the server.
	Late int64
}

// wrkSlack is how much longer than asked a run may take.
const wrkSlack = 20 * time.Second

// Run runs wrk with one thread.
func (w Wrk) Run(ctx context.Context) (Load, error) {
	ctx, cancel := context.WithTimeout(ctx, w.Duration+wrkSlack)
	defer cancel()
	path, err := Tool("wrk")
	if err != nil {
		return Load{}, err
	}
	seconds := int(max(w.Duration, time.Second).Round(time.Second).Seconds()) // wrk knows no fractions
	args := []string{path, "--latency", "-t1", "-c" + strconv.Itoa(w.Connections), fmt.Sprintf("-d%ds", seconds)}
	args = append(append(args, w.Args...), w.URL)
	if w.CPUs != "" {
		args = append([]string{"taskset", "-c", w.CPUs}, args...)
	}
	out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput()
	if err != nil {
		return Load{}, fmt.Errorf("wrk %s: %w: %s", w.URL, err, out)
	}
	return parseWrk(string(out))
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

// count adds the groups of a match.
func count(groups []string) (sum int64) {
	for i := 1; i < len(groups); i++ {
		n, _ := strconv.ParseInt(groups[i], 10, 64) // the pattern has digits there
		sum += n
	}
	return sum
}

func latency(pattern *regexp.Regexp, out string) time.Duration {
	found := pattern.FindStringSubmatch(out)
	if found == nil {
		return 0
	}
	d, err := time.ParseDuration(found[1])
	if err != nil {
		return 0
	}
	return d
}
