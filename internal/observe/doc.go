// Package observe counts and tells what happened: counters and histograms that
// cost a few nanoseconds on the hot path, and an access log that never blocks.
//
// Counters are sharded by an index that each connection gets when it is
// accepted, so that cores do not write to the same cache line. Handles are
// resolved when a Generation is compiled; their memory is taken on the first
// hit, outlives Generations, and is bounded: past the bound everything counts
// for a series named "other". Nothing here is a process global: each proxy has
// a [Metrics] and a [Log] of its own, and one [Sink] that all Flows go through, to which
// a [Watcher] may listen.
package observe
