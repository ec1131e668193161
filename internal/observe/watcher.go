package observe

import (
	"fmt"
	"slices"
	"sync/atomic"
)

// MaxWatchers bounds those who watch one Sink at a time: each costs every Flow a little.
const MaxWatchers = 8

// watcherLines is how many lines wait for one Watcher.
const watcherLines = 256

// Watcher is somebody who watches the Flows of a Sink. One goroutine uses it.
type Watcher struct {
	sink  *Sink
	lines chan []byte
	lost  atomic.Uint64
}

// Watch has the Flows that end from now on sent to a Watcher, until it is closed. It
// fails where MaxWatchers watch already.
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

// watching are those who watch now. The slice must not be changed.
func (s *Sink) watching() []*Watcher {
	if all := s.watchers.Load(); all != nil {
		return *all
	}
	return nil
}

// Close ends the watching.
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

// Lines yields a line of JSON for each Flow, as Log writes it. Watchers share lines: they
// must not be changed.
func (w *Watcher) Lines() <-chan []byte { return w.lines }

// Lost is how many Flows found no room among the lines that wait, since it was last
// called.
func (w *Watcher) Lost() uint64 { return w.lost.Swap(0) }

// full reports whether the next line would be lost, and if so counts it.
func (w *Watcher) full() bool {
	if len(w.lines) < cap(w.lines) {
		return false
	}
	w.lost.Add(1)
	return true
}

// stream gives the Flow to those who watch, as a line of JSON. Who does not keep up
// misses some, and costs nothing meanwhile. A Flow without a Start ended when nobody
// watched, so that nothing was filled in.
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
		default: // another shard was faster
			w.lost.Add(1)
		}
	}
}
