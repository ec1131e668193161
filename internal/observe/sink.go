package observe

import (
	"sync"
	"sync/atomic"
)

// Sink gets all Flows of one proxy: it counts them, logs them, and streams them to
// Watchers. Its methods may be called from any goroutine.
type Sink struct {
	Metrics *Metrics
	// Log may be nil.
	Log *Log

	mu       sync.Mutex // guards changes of watchers
	watchers atomic.Pointer[[]*Watcher]
}

// Wanted reports whether anybody reads Flows. If not, the fields that are only logged or
// streamed need not be set; the fields that are counted must always be set.
func (s *Sink) Wanted() bool { return s.Log.Enabled() || s.watchers.Load() != nil }

// Record records a Flow that has ended, in the shard of its connection. It keeps nothing
// of f, never waits, and allocates nothing while nobody watches.
func (s *Sink) Record(shard int, f *Flow) {
	s.count(shard, f)
	if s.Log.Enabled() {
		s.Log.record(shard, f)
	}
	if all := s.watchers.Load(); all != nil {
		stream(*all, f)
	}
}

// count counts a Flow.
func (s *Sink) count(shard int, f *Flow) {
	switch f.Kind {
	case Request:
		if f.Rule != nil {
			f.Rule.Hit(shard, f.Status, f.Outcome)
		}
		if f.Service != nil {
			f.Service.Observe(shard, f.Duration)
		}
	case Connection, Datagrams:
		if f.Rule != nil {
			f.Rule.L4Flow(shard, f.Outcome)
		}
		if f.Listener != nil {
			f.Listener.L4In.Add(shard, uint64(f.BytesIn))
			f.Listener.L4Out.Add(shard, uint64(f.BytesOut))
		}
	}
}
