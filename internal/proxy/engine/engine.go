package engine

import (
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"windrose.dev/windrose/internal/observe"
	"windrose.dev/windrose/internal/proxy/settings"
	"windrose.dev/windrose/internal/proxy/sock"
)

// Config is what an Engine needs.
type Config struct {
	Limits settings.Limits
	// Sink takes what was observed.
	Sink    *observe.Sink
	Clock   *sock.Clock
	Hangups *sock.Hangups
}

// Engine is what the rooms of one proxy share. Its methods may be called from any
// goroutine.
type Engine struct {
	Config
	// Shards are as many as counters have.
	Shards []*Shard
	// Growth is what flow-control windows may still grow by, in bytes.
	Growth atomic.Int64

	next     atomic.Uint64 // the shard for the next connection
	serving  sync.WaitGroup
	draining atomic.Bool
	stopping atomic.Bool
	stopped  chan struct{}
}

// New makes an Engine.
func New(cfg Config) *Engine {
	e := &Engine{Config: cfg, Shards: make([]*Shard, cfg.Sink.Metrics.ShardCount()), stopped: make(chan struct{})}
	e.Growth.Store(cfg.Limits.WindowBytes)
	most := mostBuffers(cfg.Limits.BufferBytes) / int64(len(e.Shards))
	for i := range e.Shards {
		e.Shards[i] = &Shard{Index: i, most: most}
	}
	return e
}

// mostBuffers is how many bytes of buffers may be in use in all.
func mostBuffers(limit int64) int64 {
	if limit <= 0 {
		limit = debug.SetMemoryLimit(-1) / 2
	}
	return max(limit, 64*sock.BufferSize)
}

// NextShard is the shard for the next connection: they take turns.
func (e *Engine) NextShard() *Shard { return e.Shards[e.next.Add(1)%uint64(len(e.Shards))] }

// Go runs serve in a goroutine that Wait waits for.
func (e *Engine) Go(serve func()) { e.serving.Go(serve) }

// Wait waits until nothing is served any more.
func (e *Engine) Wait() { e.serving.Wait() }

// Drain has clients be asked to leave.
func (e *Engine) Drain() { e.draining.Store(true) }

// Draining reports whether clients are asked to leave.
func (e *Engine) Draining() bool { return e.draining.Load() }

// Stop begins to close what is idle: nothing is accepted any more.
func (e *Engine) Stop() { e.stopping.Store(true) }

// Stopping reports whether what is idle is closed.
func (e *Engine) Stopping() bool { return e.stopping.Load() }

// EndStop tells that all that was idle when Stop was called was found. It is called
// once.
func (e *Engine) EndStop() { close(e.stopped) }

// Stopped is closed by EndStop.
func (e *Engine) Stopped() <-chan struct{} { return e.stopped }

// Panicked counts a panic that was contained, and says so on standard error.
func (e *Engine) Panicked(value any) {
	e.Sink.Metrics.Panics.Add(1)
	fmt.Fprintf(os.Stderr, "windrose: a defect ended one connection: %v\n%s", value, debug.Stack())
}

// Since is the time from a reading of the clock until now.
func (e *Engine) Since(start int64) time.Duration { return time.Duration(e.Clock.Now() - start) }
