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

// Config is the configuration of an Engine.
type Config struct {
	Limits settings.Limits
	// Sink receives metrics and Flows.
	Sink    *observe.Sink
	Clock   *sock.Clock
	Hangups *sock.Hangups
}

// Engine is what the packages of one proxy share. Its methods may be called from any
// goroutine.
type Engine struct {
	Config
	// Shards has one Shard for each shard of the counters.
	Shards []*Shard
	// Growth is the number of bytes by which flow control windows may still grow.
	Growth atomic.Int64

	next     atomic.Uint64 // the shard for the next connection
	serving  sync.WaitGroup
	draining atomic.Bool
	stopping atomic.Bool
	stopped  chan struct{}
}

// New returns an Engine.
func New(cfg Config) *Engine {
	e := &Engine{Config: cfg, Shards: make([]*Shard, cfg.Sink.Metrics.ShardCount()), stopped: make(chan struct{})}
	e.Growth.Store(cfg.Limits.WindowBytes)
	most := mostBuffers(cfg.Limits.BufferBytes) / int64(len(e.Shards))
	for i := range e.Shards {
		e.Shards[i] = &Shard{Index: i, most: most}
	}
	return e
}

// mostBuffers returns how many bytes of buffers may be in use in all shards together.
func mostBuffers(limit int64) int64 {
	if limit <= 0 {
		limit = debug.SetMemoryLimit(-1) / 2
	}
	return max(limit, 64*sock.BufferSize)
}

// NextShard returns the shard for the next connection, in turn.
func (e *Engine) NextShard() *Shard { return e.Shards[e.next.Add(1)%uint64(len(e.Shards))] }

// Go runs serve in a goroutine that Wait waits for.
func (e *Engine) Go(serve func()) { e.serving.Go(serve) }

// Wait waits until all goroutines of Go have ended.
func (e *Engine) Wait() { e.serving.Wait() }

// Drain starts the drain: clients are told to close their connections.
func (e *Engine) Drain() { e.draining.Store(true) }

// Draining reports whether the proxy drains.
func (e *Engine) Draining() bool { return e.draining.Load() }

// Stop starts to close idle connections. Nothing is accepted any more.
func (e *Engine) Stop() { e.stopping.Store(true) }

// Stopping reports whether idle connections are closed.
func (e *Engine) Stopping() bool { return e.stopping.Load() }

// EndStop records that everything that was idle when Stop was called has been found. It
// is called once.
func (e *Engine) EndStop() { close(e.stopped) }

// Stopped returns the channel that EndStop closes.
func (e *Engine) Stopped() <-chan struct{} { return e.stopped }

// Panicked counts a recovered panic, and prints it on standard error.
func (e *Engine) Panicked(value any) {
	e.Sink.Metrics.Panics.Add(1)
	fmt.Fprintf(os.Stderr, "windrose: a defect ended one connection: %v\n%s", value, debug.Stack())
}

// Since returns the time since start, which is a time on the clock.
func (e *Engine) Since(start int64) time.Duration { return time.Duration(e.Clock.Now() - start) }
