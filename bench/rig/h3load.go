package rig

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strconv"
	"time"
)

// H3load is one run of bench/h3load, over HTTP/3, which the h2load of distributions does
// not speak. BuildH3load must be called before.
type H3load struct {
	Bin  string
	URL  string
	CPUs string
	// Connections is the number of connections, and Streams the concurrent streams on
	// each.
	Connections, Streams int
	Duration             time.Duration
}

// BuildH3load builds bench/h3load and returns its path.
func (r *Rig) BuildH3load(ctx context.Context) (string, error) {
	return r.Bin("h3load"), r.build(ctx, "windrose.dev/windrose/bench/h3load")
}

// Run runs h3load in one process with one thread.
func (l H3load) Run(ctx context.Context) (Load, error) {
	ctx, cancel := context.WithTimeout(ctx, l.Duration+slack)
	defer cancel()
	args := []string{l.Bin, "-c", strconv.Itoa(l.Connections), "-m", strconv.Itoa(l.Streams), "-d", l.Duration.String(), l.URL}
	if l.CPUs != "" {
		args = append([]string{"taskset", "-c", l.CPUs}, args...)
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(cmd.Environ(), "GOMAXPROCS=1")
	out, err := cmd.Output()
	if err != nil {
		return Load{}, fmt.Errorf("h3load %s: %w: %s", l.URL, err, out)
	}
	var load Load
	if err := json.Unmarshal(out, &load); err != nil {
		return Load{}, fmt.Errorf("h3load %s: %w: %s", l.URL, err, out)
	}
	return load, nil
}
