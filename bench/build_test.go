package main

import (
	"testing"

	"windrose.dev/windrose/internal/model"
)

func testPipeline(b *testing.B) *pipeline {
	b.Helper()
	p, err := newPipeline(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	return p
}

func testSnapshot(b *testing.B, p *pipeline) *model.Snapshot {
	b.Helper()
	s, err := p.translate(p.loader.Load())
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// All benchmarks use 5,000 Ingresses, 5,000 Services and 20,000 endpoints.

func BenchmarkLoadCold(b *testing.B) {
	p := testPipeline(b)
	for b.Loop() {
		if set := newLoader(p.corpus.dir).Load(); set.Ingresses.Len() != manyRoutes {
			b.Fatal(set.Ingresses.Len())
		}
	}
}

func BenchmarkBuild(b *testing.B) {
	p := testPipeline(b)
	set := p.loader.Load()
	for b.Loop() {
		if _, err := p.translate(set); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWire(b *testing.B) {
	p := testPipeline(b)
	s := testSnapshot(b, p)
	for b.Loop() {
		if _, err := p.wire(s, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	p := testPipeline(b)
	s := testSnapshot(b, p)
	for b.Loop() {
		if _, _, err := p.compiler.Compile(s, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEndpointChange goes from a changed file to a Generation.
func BenchmarkEndpointChange(b *testing.B) {
	p := testPipeline(b)
	old, _, err := p.pass(nil)
	if err != nil {
		b.Fatal(err)
	}
	p.loader.Load() // the files have settled now
	for b.Loop() {
		if err := p.changeEndpoints(); err != nil {
			b.Fatal(err)
		}
		if old, _, err = p.pass(old); err != nil {
			b.Fatal(err)
		}
	}
}
