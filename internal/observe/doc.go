// Package observe counts and logs what happened: counters and histograms that cost a few
// nanoseconds on the hot path, and an access log that never blocks.
//
// Counters are sharded by an index that each connection gets when it is accepted, so that
// cores do not write to the same cache line. Handles are resolved when a Generation is
// compiled; their memory is allocated on the first hit, outlives Generations, and is
// bounded: past the bound everything counts for a series named "other". Nothing here is
// global to the process: each proxy has its own [Metrics] and [Log], and one [Sink] that
// gets all Flows and streams them to each [Watcher].
package observe
