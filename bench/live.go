package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"windrose.dev/windrose/bench/rig"
)

// holdOff is how long `windrose run` waits after a change for further changes.
const holdOff = 10 * time.Millisecond

// saveToLive measures the time from the rename of a changed file to the first response of
// the new Generation, in small and in large directories.
func (b *bench) saveToLive(ctx context.Context) error {
	for _, c := range []struct {
		ingresses int
		budget    time.Duration
	}{{1, 20 * time.Millisecond}, {manyRoutes, 150 * time.Millisecond}} {
		if b.quick && c.ingresses > 1 {
			continue
		}
		times, err := b.renames(ctx, c.ingresses)
		if err != nil {
			return fmt.Errorf("%d Ingresses: %w", c.ingresses, err)
		}
		slices.Sort(times)
		b.liveFigures(c.ingresses, times, c.budget)
	}
	return nil
}

func (b *bench) liveFigures(ingresses int, times []time.Duration, budget time.Duration) {
	name := fmt.Sprintf("rename to first new answer, %d Ingresses", ingresses)
	note := fmt.Sprintf("%d renames; holds the %v of hold-off", len(times), holdOff)
	b.figure(Figure{Section: "save to live", Name: name + ", p50", Value: millis(percentile(times, 50)), Unit: "ms", Note: note})
	b.figure(Figure{
		Section: "save to live", Name: name + ", p99", Value: millis(percentile(times, 99)), Unit: "ms",
		Budget: millis(budget + holdOff), Note: fmt.Sprintf("budget %v plus hold-off", budget),
	})
}

// percentile returns the nearest rank in sorted times.
func percentile(times []time.Duration, p int) time.Duration {
	return times[max((len(times)*p+99)/100-1, 0)]
}

// renames serves a directory and times changes of one of its files.
func (b *bench) renames(ctx context.Context, ingresses int) ([]time.Duration, error) {
	dir := filepath.Join(b.rig.Dir, fmt.Sprintf("live-%d", ingresses))
	c, err := newCorpus(dir)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := errors.Join(c.writeIngresses(ingresses, "echo"), os.WriteFile(filepath.Join(dir, "echo.yaml"), []byte(podText), 0o600)); err != nil {
		return nil, err
	}
	written := time.Now()
	process, address, err := b.startRun(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer process.Stop()
	// The loader reads a new file at each change; once the file is old enough, it trusts
	// its stat.
	time.Sleep(time.Until(written.Add(2500 * time.Millisecond)))
	count := 100
	if b.quick {
		count = 20
	}
	return b.renameOften(ctx, c, address, ingresses/2, count)
}

// startRun starts `windrose run` and waits until it is ready.
func (b *bench) startRun(ctx context.Context, dir string) (*rig.Process, string, error) {
	ports, err := rig.FreePorts(3)
	if err != nil {
		return nil, "", err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	out := &syncBuffer{}
	p, err := b.rig.Start(rig.Spec{
		Name: b.rig.Bin("windrose"), Stdout: out,
		Args: []string{
			"run", dir, "--log", "off", "--admin", rig.Loopback(ports[0]), "--drain-wait", "1s",
			"--publish", "80=" + rig.Loopback(ports[1]), "--publish", "443=" + rig.Loopback(ports[2]),
		},
	})
	if err != nil {
		return nil, "", err
	}
	return p, rig.Loopback(ports[1]), p.Await(ctx, func() bool { return strings.Contains(out.String(), "\nready\n") })
}

// syncBuffer collects output that may be read at the same time.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// renameOften changes Ingress i repeatedly. It returns the times of all changes after a
// few warm-up ones.
func (b *bench) renameOften(ctx context.Context, c corpus, address string, i, count int) ([]time.Duration, error) {
	client, err := rig.DialRaw(address, fmt.Sprintf("host-%d.example.com", i))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	const warmUps = 5
	var times []time.Duration
	for n := range warmUps + count {
		took, err := renameOnce(ctx, c, client, i, fmt.Sprintf("/generation-%d", n))
		if err != nil {
			return nil, err
		}
		if n >= warmUps {
			times = append(times, took)
		}
		time.Sleep(4 * holdOff) // so that each change is a burst of its own
	}
	return times, nil
}

// pollEvery is the interval of the requests that wait for the change: short enough for a
// precise figure, and long enough to leave the CPUs to the proxy.
const pollEvery = 250 * time.Microsecond

func renameOnce(ctx context.Context, c corpus, client *rig.Raw, i int, target string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	file := c.ingressFile(i)
	if err := os.WriteFile(file+".next", fmt.Appendf(nil, ingressText, i, target, "echo"), 0o600); err != nil {
		return 0, err
	}
	want := fmt.Appendf(nil, `"path": %q`, target)
	start := time.Now()
	if err := os.Rename(file+".next", file); err != nil {
		return 0, err
	}
	for {
		answer, err := client.Get("/")
		if err = errors.Join(err, ctx.Err()); err != nil {
			return 0, fmt.Errorf("waiting for %s: %w", target, err)
		}
		if answer.Status == 200 && bytes.Contains(answer.Body, want) {
			return time.Since(start), nil
		}
		time.Sleep(pollEvery)
	}
}
