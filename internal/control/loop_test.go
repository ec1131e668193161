package control

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
	"windrose.dev/windrose/internal/source/dir"
	"windrose.dev/windrose/internal/translate/ingress"
)

const goodIngress = `apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{port: 80}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web}
spec:
  rules:
    - http: {paths: [{path: /a, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}
`

func newLoop(t *testing.T, apply func(*model.Snapshot) ([]reason.Report, error)) (*Loop, string) {
	t.Helper()
	folder := t.TempDir()
	loader := dir.NewLoader(dir.Config{Dirs: []string{folder}, Guards: ingress.Guards})
	return New(Config{Read: loader.Load, Apply: apply}), filepath.Join(folder, "in.yaml")
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestBuild follows a file through four states: good, half-written, broken and gone.
func TestBuild(t *testing.T) {
	var live *model.Snapshot
	loop, file := newLoop(t, func(s *model.Snapshot) ([]reason.Report, error) { live = s; return nil, nil })
	for _, step := range []struct {
		text string
		rule string // a part of the live rule's text
		code reason.Code
	}{
		{goodIngress, "prefix:/a ", 0},
		{strings.Replace(goodIngress, "/a,", "/b,", 1), "prefix:/b ", 0},
		{goodIngress[:len(goodIngress)-30], "prefix:/b ", reason.KeptLastGood},
		{strings.Replace(goodIngress, "spec:\n  rules", "spec:\n  rulez", 1), "prefix:/b ", reason.UnknownField},
		{goodIngress, "prefix:/a ", 0},
		{"", "prefix:/a ", reason.KeptLastGood},
		{"gone", "", 0},
	} {
		if step.text == "gone" {
			os.Remove(file)
		} else {
			write(t, file, step.text)
		}
		r := loop.Build()
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		text := model.Format(live)
		if step.rule == "" && strings.Contains(text, "rule") || !strings.Contains(text, step.rule) {
			t.Errorf("after %q…: %s", step.text[:min(len(step.text), 20)], text)
		}
		found := step.code == 0 && reason.Count(r.Reports, reason.Error) == 0
		for _, report := range r.Reports {
			found = found || report.Code == step.code && report.Origin.File != ""
		}
		if !found {
			t.Errorf("want %v among %v", step.code, r.Reports)
		}
	}
}

func TestApplyErrorIsKept(t *testing.T) {
	failure := errors.New("no")
	loop, file := newLoop(t, func(*model.Snapshot) ([]reason.Report, error) { return nil, failure })
	write(t, file, goodIngress)
	if r := loop.Build(); !errors.Is(r.Err, failure) {
		t.Errorf("got %v", r.Err)
	}
}

// TestBurstIsOneBuild: events mean dirty and nothing else.
func TestBurstIsOneBuild(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var built []Result
		start := time.Now()
		loop := New(Config{
			Read:  func() *source.Set { return &source.Set{} },
			Apply: func(*model.Snapshot) ([]reason.Report, error) { return nil, nil },
			Built: func(r Result) { built = append(built, r) },
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { loop.Run(ctx); close(done) }()
		for range 5 {
			loop.Dirty()
			time.Sleep(5 * time.Millisecond)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if len(built) != 1 || !built[0].Since.Equal(start) {
			t.Errorf("%d builds: %+v", len(built), built)
		}
		for range 100 { // never quiet: the hold-off ends at its maximum
			loop.Dirty()
			time.Sleep(5 * time.Millisecond)
		}
		synctest.Wait()
		if n := len(built); n < 5 || n > 8 {
			t.Errorf("%d builds in half a second without quiet", n)
		}
		cancel()
		<-done
	})
}
