//go:build peers

package peers

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"windrose.dev/windrose/bench/rig"
)

const (
	swapTime  = 30 * time.Second
	swapEvery = 50 * time.Millisecond
)

// swapPods are two pods with a Service each; a swap changes from one to the other.
const swapPods = `apiVersion: v1
kind: Pod
metadata: {name: %[1]s, namespace: shop, labels: {app: %[1]s}}
spec: {containers: [{name: %[1]s, image: example.com/%[1]s:1, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: %[1]s, namespace: shop}
spec: {selector: {app: %[1]s}, ports: [{port: 80, targetPort: 8080}]}
`

// swapIngress has two parts that change together, the rewrite target and the Service, so
// that a response from a mix of two configurations would show.
const swapIngress = `apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: shop
  namespace: shop
  annotations: {nginx.ingress.kubernetes.io/rewrite-target: /generation-%[1]d}
spec:
  ingressClassName: nginx
  rules:
  - host: shop.example.com
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: %[2]s, port: {number: 80}}}}
`

func podOf(generation int) string { return []string{"even", "odd"}[generation%2] }

func ingressOf(generation int) []byte {
	return fmt.Appendf(nil, swapIngress, generation, podOf(generation))
}

// swappers are the ways to change a file atomically.
var swappers = []struct {
	name string
	// swap writes the Ingress of a generation into a directory.
	swap func(dir string, generation int) error
}{
	{"renamed file", swapFile},
	{"mounted ConfigMap", swapMount},
}

func swapFile(dir string, generation int) error {
	next := filepath.Join(dir, ".ingress.yaml.swp")
	if err := os.WriteFile(next, ingressOf(generation), 0o600); err != nil {
		return err
	}
	return os.Rename(next, filepath.Join(dir, "ingress.yaml"))
}

// swapMount does what a kubelet does: the file is a link through ..data, which is a link
// to the directory of the generation.
func swapMount(dir string, generation int) error {
	name := fmt.Sprintf("..generation_%d", generation)
	if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, name, "ingress.yaml"), ingressOf(generation), 0o600); err != nil {
		return err
	}
	next := filepath.Join(dir, "..data_tmp")
	if err := os.Symlink(name, next); err != nil {
		return err
	}
	if err := os.Rename(next, filepath.Join(dir, "..data")); err != nil {
		return err
	}
	if generation == 0 {
		return os.Symlink("..data/ingress.yaml", filepath.Join(dir, "ingress.yaml"))
	}
	return os.RemoveAll(filepath.Join(dir, fmt.Sprintf("..generation_%d", generation-1)))
}

// TestSwapsUnderLoad swaps configurations every 50 ms for 30 s under load. No request may
// fail or see a mix of two configurations, and each swap must become a Generation.
func TestSwapsUnderLoad(t *testing.T) {
	for _, s := range swappers {
		t.Run(s.name, func(t *testing.T) {
			run := startRun(t, newRig(t), s.swap)
			files := run.files(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var load sync.WaitGroup
			var counts *tally
			load.Go(func() { counts = hammer(ctx, run.plain, 2, run.whole) })
			load.Go(func() {
				noFailure(t, rig.Wrk{
					URL: "http://" + run.plain + "/", Connections: 8, Duration: swapTime,
					Args: []string{"-H", "Host: shop.example.com"},
				})
			})
			before := metric(t, run.admin, "windrose_generation", "")
			swaps := run.swapOften(t, s.swap)
			cancel()
			load.Wait()
			moved := metric(t, run.admin, "windrose_generation", "") - before
			t.Logf("%d swaps, %g Generations, requests:\n%s", swaps, moved, counts)
			if counts.failed() > 0 || counts.sent.Load() == 0 {
				t.Errorf("%d of %d requests failed:\n%s", counts.failed(), counts.sent.Load(), counts)
			}
			if moved < float64(swaps) {
				t.Errorf("%d swaps made %g Generations", swaps, moved)
			}
			run.restsWith(t, files)
		})
	}
}

// running is a `windrose run` on a directory.
type running struct {
	process           *rig.Process
	dir, plain, admin string
}

func startRun(t *testing.T, r *rig.Rig, swap func(string, int) error) *running {
	t.Helper()
	free := ports(t, 3)
	run := &running{dir: filepath.Join(r.Dir, "resources"), plain: free[0], admin: free[2]}
	for _, pod := range []string{"even", "odd"} {
		must[string](t)(r.File("resources/"+pod+".yaml", fmt.Appendf(nil, swapPods, pod)))
	}
	ok(t, swap(run.dir, 0))
	run.process = startDirectory(t, r, run.dir, run.admin, map[int]string{80: run.plain, 443: free[1]})
	ok(t, run.process.Accepting(soon(t), run.plain))
	run.await(t, 0)
	return run
}

// startDirectory starts `windrose run` on a directory, with ports published at addresses.
func startDirectory(t *testing.T, r *rig.Rig, dir, admin string, publish map[int]string) *rig.Process {
	t.Helper()
	args := []string{"run", dir, "--log", "off", "--admin", admin}
	for port, address := range publish {
		args = append(args, "--publish", fmt.Sprintf("%d=%s", port, address))
	}
	p := must[*rig.Process](t)(r.Start(rig.Spec{Name: r.Bin("windrose"), Args: args}))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("its standard error:\n%s", p.Stderr())
		}
	})
	return p
}

func (run *running) files(t *testing.T) []string {
	t.Helper()
	return must[[]string](t)(run.process.Files())
}

// restsWith waits until no more files are open than before the load: no connection may be
// left, on either side.
func (run *running) restsWith(t *testing.T, before []string) {
	t.Helper()
	for end := time.Now().Add(startTime); ; time.Sleep(10 * time.Millisecond) {
		now := run.files(t)
		switch {
		case len(now) <= len(before):
			return
		case time.Now().After(end):
			t.Fatalf("%d files are open after the load, %d were before:\n%q\n%q", len(now), len(before), now, before)
		}
	}
}

// whole sends a request and checks that path and pod of the response belong together.
func (run *running) whole(client *rig.Raw) (rig.Answer, error) {
	answer, err := client.Get("/")
	if err != nil || answer.Status != 200 {
		return answer, err
	}
	_, rest, _ := bytes.Cut(answer.Body, []byte(`"path": "/generation-`))
	var generation int
	if _, err := fmt.Sscanf(string(rest), "%d", &generation); err != nil {
		return answer, fmt.Errorf("no generation in %q", answer.Body)
	}
	if !strings.Contains(string(answer.Body), fmt.Sprintf(`"pod": "%s"`, podOf(generation))) {
		return answer, fmt.Errorf("an answer of a mix of configurations: %s", answer.Body)
	}
	return answer, nil
}

// await waits until a generation serves.
func (run *running) await(t *testing.T, generation int) {
	t.Helper()
	client := dial(t, run.plain)
	defer client.Close()
	want := fmt.Appendf(nil, `"path": "/generation-%d"`, generation)
	for end := time.Now().Add(startTime); ; {
		answer := must[rig.Answer](t)(client.Get("/"))
		if bytes.Contains(answer.Body, want) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("generation %d does not come; the answer is still %q", generation, answer.Body)
		}
		time.Sleep(time.Millisecond)
	}
}

// swapOften swaps at every tick, once the previous swap is live.
func (run *running) swapOften(t *testing.T, swap func(string, int) error) int {
	t.Helper()
	tick := time.NewTicker(swapEvery)
	defer tick.Stop()
	end := time.Now().Add(swapTime)
	generation := 0
	for time.Now().Before(end) {
		<-tick.C
		generation++
		ok(t, swap(run.dir, generation))
		run.await(t, generation)
	}
	return generation
}
