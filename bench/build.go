package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/observe"
	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/proxy/filter"
	"windrose.dev/windrose/internal/proxy/sock"
	"windrose.dev/windrose/internal/proxy/upstream"
	"windrose.dev/windrose/internal/source"
	"windrose.dev/windrose/internal/source/dir"
	"windrose.dev/windrose/internal/translate"
)

// The size to which the budgets of DESIGN apply.
const (
	manyRoutes          = 5000
	endpointsPerService = 4
)

// pipeline turns a corpus of 5,000 Ingresses and 20,000 endpoints into a Generation, step
// by step.
type pipeline struct {
	corpus   corpus
	loader   *dir.Loader
	compiler exchange.Compiler
	shift    int              // of the endpoints of the Service that changes
	built    translate.Result // the last result
	sent     *model.Snapshot  // the last Snapshot that was encoded
}

func newPipeline(folder string) (*pipeline, error) {
	c, err := newCorpus(folder)
	if err != nil {
		return nil, err
	}
	if err := c.writeIngresses(manyRoutes, ""); err != nil {
		return nil, err
	}
	// The last Service has its own file, which changes.
	if err := c.writeServices(manyRoutes-1, endpointsPerService); err != nil {
		return nil, err
	}
	p := &pipeline{corpus: c, compiler: newCompiler()}
	if err := p.changeEndpoints(); err != nil {
		return nil, err
	}
	p.loader = newLoader(folder)
	return p, nil
}

func newLoader(folder string) *dir.Loader {
	return dir.NewLoader(dir.Config{
		Dirs: []string{folder}, Guards: translate.Guards,
		// The files are new; Settle is short, so that this measures a directory at rest.
		Settle: time.Millisecond,
	})
}

func newCompiler() exchange.Compiler {
	return exchange.Compiler{
		Filters: filter.Table(), Metrics: observe.NewMetrics(0),
		Registry: upstream.NewRegistry(upstream.Config{Shards: observe.Shards(), Clock: sock.NewClock()}),
	}
}

// changeEndpoints gives one Service new endpoints.
func (p *pipeline) changeEndpoints() error {
	p.shift = (p.shift + 1) % 200
	doc := serviceDoc(manyRoutes-1, endpointsPerService, p.shift)
	return replace(filepath.Join(p.corpus.dir, "changing.yaml"), []byte(doc))
}

func (p *pipeline) translate(set *source.Set) (*model.Snapshot, error) {
	p.built = translate.BuildOver(set, translate.Options{}, &p.built)
	s, reports := p.built.Snapshot, p.built.Reports
	if len(reports) > 0 || len(s.Config.Hosts) != manyRoutes || len(s.Endpoints) != manyRoutes {
		return nil, fmt.Errorf("%d hosts, %d services with endpoints, and reports: %v", len(s.Config.Hosts), len(s.Endpoints), first(reports))
	}
	return s, nil
}

func first[T any](all []T) []T { return all[:min(len(all), 3)] }

// wire encodes and decodes a Snapshot, as it goes to a proxy that has the Snapshot of
// old. old may be nil.
func (p *pipeline) wire(s *model.Snapshot, old *exchange.Generation) (*model.Snapshot, error) {
	var base, sent *model.Snapshot
	if old != nil {
		base, sent = old.Snapshot, p.sent
	}
	p.sent = s
	data, err := model.EncodeOver(s, sent)
	if err != nil {
		return nil, err
	}
	return model.DecodeOver(data, base)
}

// laps are the durations of one pass, by step.
type laps map[string]time.Duration

// pass goes from files to a Generation and times each step. old is the previous
// Generation; nil compiles everything.
func (p *pipeline) pass(old *exchange.Generation) (*exchange.Generation, laps, error) {
	took := laps{}
	start := time.Now()
	lap := func(step string) {
		now := time.Now()
		took[step], start = now.Sub(start), now
	}
	set := p.loader.Load()
	lap("load")
	s, err := p.translate(set)
	if err != nil {
		return nil, nil, err
	}
	lap("translate")
	if s, err = p.wire(s, old); err != nil {
		return nil, nil, err
	}
	lap("wire")
	g, _, err := p.compiler.Compile(s, old)
	lap("compile")
	return g, took, err
}

// steps are the steps of a pass, with their names in the table.
var steps = []struct{ key, name string }{
	{"load", "load"}, {"translate", "build (translate, freeze, hash)"}, {"wire", "encode and decode"}, {"compile", "compile"},
}

// build measures the way from files to a Generation: everything, and a change of one
// Service's endpoints.
func (b *bench) build(ctx context.Context) error {
	folder := filepath.Join(b.rig.Dir, "build")
	defer os.RemoveAll(folder)
	p, err := newPipeline(folder)
	if err != nil {
		return err
	}
	passes := 10
	if b.quick {
		passes = 3
	}
	var full, change []laps
	for range passes {
		if err := ctx.Err(); err != nil {
			return err
		}
		p.loader, p.compiler, p.built = newLoader(folder), newCompiler(), translate.Result{}
		runtime.GC()
		old, took, err := p.pass(nil)
		if err != nil {
			return err
		}
		full = append(full, took)
		if took, err = p.changePass(old); err != nil {
			return err
		}
		change = append(change, took)
	}
	b.stepFigures("5,000 Ingresses, 20,000 endpoints", full, map[string]float64{"translate": 60})
	b.stepFigures("one Service's endpoints change", change, map[string]float64{"translate": 5})
	return b.buildRoutes(passes)
}

// buildRoutes measures the build of 5,000 HTTPRoutes.
func (b *bench) buildRoutes(passes int) error {
	folder := filepath.Join(b.rig.Dir, "routes")
	defer os.RemoveAll(folder)
	c, err := newCorpus(folder)
	if err != nil {
		return err
	}
	if err := c.writeRoutes(manyRoutes); err != nil {
		return err
	}
	start := time.Now()
	set := newLoader(folder).Load()
	load := time.Since(start)
	var all []laps
	for range passes {
		runtime.GC()
		start := time.Now()
		built := translate.Build(set, translate.Options{})
		all = append(all, laps{"load": load, "translate": time.Since(start)})
		if n := len(built.Snapshot.Config.Hosts); len(built.Reports) > 0 || n != manyRoutes+1 {
			return fmt.Errorf("%d hosts, and reports: %v", n, first(built.Reports))
		}
	}
	for _, step := range steps[:2] {
		b.stepFigure("5,000 HTTPRoutes", step.key, step.name, all, map[string]float64{"translate": 80}[step.key])
	}
	return nil
}

// changePass lets the loader settle and then measures a change of endpoints.
func (p *pipeline) changePass(old *exchange.Generation) (laps, error) {
	p.loader.Load() // the files have settled now
	if err := p.changeEndpoints(); err != nil {
		return nil, err
	}
	runtime.GC()
	_, took, err := p.pass(old)
	return took, err
}

func (b *bench) stepFigures(what string, passes []laps, budgets map[string]float64) {
	for _, step := range steps {
		b.stepFigure(what, step.key, step.name, passes, budgets[step.key])
	}
}

func (b *bench) stepFigure(what, key, name string, passes []laps, budget float64) {
	times := make([]time.Duration, len(passes))
	for i, took := range passes {
		times[i] = took[key]
	}
	slices.Sort(times)
	b.figure(Figure{
		Section: "build", Name: what + ": " + name, Value: millis(times[0]), Unit: "ms", Budget: budget,
		Note: fmt.Sprintf("best of %d, median %.1f ms", len(times), millis(times[len(times)/2])),
	})
}
