package observe

import (
	"runtime"
	"sync/atomic"
	"time"
)

// Shards returns the number of shards of a new Metrics: one for each core that may run Go
// code, at most 64.
func Shards() int { return min(runtime.GOMAXPROCS(0), 64) }

// padded is a counter that has a cache line for itself.
type padded struct {
	n atomic.Uint64
	_ [56]byte
}

// Counter is a sharded count.
type Counter struct{ shards []padded }

// NewCounter returns a Counter with the given number of shards.
func NewCounter(shards int) *Counter { return &Counter{make([]padded, shards)} }

// Add adds n to a shard.
func (c *Counter) Add(shard int, n uint64) { c.shards[shard].n.Add(n) }

// Sum returns the count over all shards.
func (c *Counter) Sum() uint64 {
	sum := uint64(0)
	for i := range c.shards {
		sum += c.shards[i].n.Load()
	}
	return sum
}

// bounds are the upper bounds of histogram buckets.
var bounds = [...]time.Duration{
	500 * time.Microsecond, time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond,
	250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2500 * time.Millisecond,
	5 * time.Second, 10 * time.Second,
}

// Histogram is a sharded distribution of durations.
type Histogram struct{ shards []histogramShard }

type histogramShard struct {
	buckets [len(bounds) + 1]atomic.Uint64
	sum     atomic.Int64 // nanoseconds
}

// NewHistogram returns a Histogram with the given number of shards.
func NewHistogram(shards int) *Histogram { return &Histogram{make([]histogramShard, shards)} }

// Observe counts one duration in a shard.
func (h *Histogram) Observe(shard int, d time.Duration) {
	s := &h.shards[shard]
	i := 0
	for i < len(bounds) && d > bounds[i] {
		i++
	}
	s.buckets[i].Add(1)
	s.sum.Add(int64(d))
}

// snapshot returns the number of durations in each bucket and their sum, over all shards.
func (h *Histogram) snapshot() (buckets [len(bounds) + 1]uint64, sum time.Duration) {
	for i := range h.shards {
		for j := range buckets {
			buckets[j] += h.shards[i].buckets[j].Load()
		}
		sum += time.Duration(h.shards[i].sum.Load())
	}
	return buckets, sum
}
