package observe

import (
	"fmt"
	"slices"
	"sync/atomic"
)

// MaxWatchers bounds the Watchers of one Sink: each makes every Flow a little more
// costly.
const MaxWatchers = 8

// watcherLines is the number of lines that a Watcher buffers.
const watcherLines = 256

// Watcher receives the Flows of a Sink. It is used by one goroutine.
type Watcher struct {
	sink  *Sink
	lines chan []byte
	lost  atomic.Uint64
}

// Watch returns a new Watcher, which receives the Flows that end from now on until it is
// closed. It fails if there are MaxWatchers already.
func (s *Sink) Watch() (*Watcher, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.watching()
	if len(all) >= MaxWatchers {
		return nil, fmt.Errorf("%d others watch flows already, which is the most", len(all))
	}
	w := &Watcher{sink: s, lines: make(chan []byte, watcherLines)}
	all = append(slices.Clone(all), w)
	s.watchers.Store(&all)
	return w, nil
}

// watching returns the current Watchers. The slice must not be changed.
func (s *Sink) watching() []*Watcher {
	if all := s.watchers.Load(); all != nil {
		return *all
	}
	return nil
}

// Close ends the watching. It may be called twice.
func (w *Watcher) Close() {
	s := w.sink
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.DeleteFunc(slices.Clone(s.watching()), func(other *Watcher) bool { return other == w })
	if len(all) == 0 {
		s.watchers.Store(nil)
		return
	}
	s.watchers.Store(&all)
}

// Lines returns a channel with a line of JSON for each Flow, as Log writes it. Watchers
// share the lines: do not change them.
func (w *Watcher) Lines() <-chan []byte { return w.lines }

// Lost returns how many Flows found the buffer full since the previous call.
func (w *Watcher) Lost() uint64 { return w.lost.Swap(0) }

// full reports whether the buffer is full; if so it counts the line as lost.
func (w *Watcher) full() bool {
	if len(w.lines) < cap(w.lines) {
		return false
	}
	w.lost.Add(1)
	return true
}

// stream sends the Flow to all Watchers as a line of JSON. A slow Watcher loses lines and
// costs nothing meanwhile. A Flow without a Start was recorded when nobody watched, so
// its fields are not set; it is left out.
func stream(all []*Watcher, f *Flow) {
	if f.Start.IsZero() {
		return
	}
	var line []byte
	for _, w := range all {
		if w.full() {
			continue
		}
		if line == nil {
			stamp := f.Start.UTC().AppendFormat(nil, "2006-01-02T15:04:05")
			line = appendJSON(make([]byte, 0, 512), stamp, f)
		}
		select {
		case w.lines <- line:
		default: // another shard filled the buffer meanwhile
			w.lost.Add(1)
		}
	}
}
