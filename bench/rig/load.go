package rig

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"time"
)

// Load is what a run of a load generator came to.
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

// slack is how much longer than asked a run may take.
const slack = 20 * time.Second

// generator is a program that makes load, and for how long it does.
type generator struct {
	Tool     string
	CPUs     string
	Duration time.Duration
}

// generate runs a generator with arguments for a time in whole seconds, which is
// what they know, and returns its report.
func generate(ctx context.Context, g generator, arguments func(seconds int) []string) (report string, err error) {
	ctx, cancel := context.WithTimeout(ctx, g.Duration+slack)
	defer cancel()
	path, err := Tool(g.Tool)
	if err != nil {
		return "", err
	}
	args := append([]string{path}, arguments(int(max(g.Duration, time.Second).Round(time.Second).Seconds()))...)
	if g.CPUs != "" {
		args = append([]string{"taskset", "-c", g.CPUs}, args...)
	}
	out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", g.Tool, err, out)
	}
	return string(out), nil
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
