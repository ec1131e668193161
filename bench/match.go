package main

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
)

// matchLine matches a line of a benchmark with -benchmem.
var matchLine = regexp.MustCompile(`(?m)^BenchmarkMatch(\S+?)(?:-\d+)?\s+\d+\s+([\d.]+) ns/op\s+\d+ B/op\s+(\d+) allocs/op`)

// match runs the benchmarks of the route table, which are in its package.
func (b *bench) match(ctx context.Context) error {
	args := []string{"test", "-run", "^$", "-bench", "Match", "-benchmem", "windrose.dev/windrose/internal/proxy/route"}
	out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	found := matchLine.FindAllStringSubmatch(string(out), -1)
	if len(found) == 0 {
		return fmt.Errorf("no benchmark of matching in %s", out)
	}
	for _, line := range found {
		nanos, err := strconv.ParseFloat(line[2], 64)
		if err != nil {
			return err
		}
		b.figure(Figure{
			Section: "match", Name: line[1], Value: nanos, Unit: "ns", Budget: 1000,
			Note: line[3] + " allocations",
		})
	}
	return nil
}
