package rig

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"time"
)

// Load is the result of a run of a load generator.
type Load struct {
	Requests  int64
	PerSecond float64
	P50, P99  time.Duration
	// Failed counts responses other than 2xx and 3xx, and socket errors.
	Failed int64
	// Late counts responses that took longer than wrk's 2 s. On a busy machine that need
	// not be the server's fault.
	Late int64
}

// slack is how much longer than requested a run may take.
const slack = 20 * time.Second

// generator is a load generator, and how long it runs.
type generator struct {
	Tool     string
	CPUs     string
	Duration time.Duration
}

// generate runs a generator for a whole number of seconds, the unit that generators take,
// and returns its report.
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

// count returns the sum of the groups of a match.
func count(groups []string) (sum int64) {
	for i := 1; i < len(groups); i++ {
		n, _ := strconv.ParseInt(groups[i], 10, 64) // the pattern allows only digits
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
