package observe

import (
	"slices"
	"sync"
	"sync/atomic"
)

// Sink is where all Flows of one proxy go: it counts them, logs them, and streams
// them to those who watch. Its methods may be called from any goroutine.
type Sink struct {
	Metrics *Metrics
	// Log may be nil.
	Log *Log

	mu       sync.Mutex // guards changes of watchers
	watchers atomic.Pointer[[]chan<- []byte]
}

// Wanted reports whether anybody reads Flows, so that it is of use to fill in what
// only they look at. What counts is filled in always.
func (s *Sink) Wanted() bool { return s.Log.Enabled() || s.watchers.Load() != nil }

// Record takes a Flow that has ended, in the shard of its connection. It keeps
// nothing of f, never waits, and allocates nothing while nobody watches.
func (s *Sink) Record(shard int, f *Flow) {
	s.count(shard, f)
	if s.Log.Enabled() {
		s.Log.record(shard, f)
	}
	if all := s.watchers.Load(); all != nil {
		s.stream(*all, f)
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
			f.Rule.Relay(shard, f.Outcome)
		}
		if f.Listener != nil {
			f.Listener.RelayedIn.Add(shard, uint64(f.BytesIn))
			f.Listener.RelayedOut.Add(shard, uint64(f.BytesOut))
		}
	}
}

// stream gives the Flow to those who watch, as a line of JSON. Who does not keep up
// misses some.
func (s *Sink) stream(all []chan<- []byte, f *Flow) {
	stamp := f.Start.UTC().AppendFormat(nil, "2006-01-02T15:04:05")
	line := appendJSON(nil, stamp, f)
	for _, watcher := range all {
		select {
		case watcher <- line:
		default:
		}
	}
}

// Watch has lines sent to watcher, as Log writes them in JSON, until the function that
// it returns is called. A line that finds the channel full is lost to it.
func (s *Sink) Watch(watcher chan<- []byte) (stop func()) {
	s.change(func(all []chan<- []byte) []chan<- []byte { return append(all, watcher) })
	return func() {
		s.change(func(all []chan<- []byte) []chan<- []byte {
			return slices.DeleteFunc(all, func(other chan<- []byte) bool { return other == watcher })
		})
	}
}

func (s *Sink) change(edit func([]chan<- []byte) []chan<- []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []chan<- []byte
	if old := s.watchers.Load(); old != nil {
		all = slices.Clone(*old)
	}
	if all = edit(all); len(all) == 0 {
		s.watchers.Store(nil)
		return
	}
	s.watchers.Store(&all)
}
