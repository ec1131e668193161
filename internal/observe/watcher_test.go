package observe

import (
	"sync"
	"testing"
	"time"
)

// TestEachFlowComesOrIsLost: however many shards record at once, each Flow reaches a
// Watcher or counts as lost to it.
func TestEachFlowComesOrIsLost(t *testing.T) {
	sink := &Sink{Metrics: NewMetrics(0)}
	w, err := sink.Watch()
	if err != nil {
		t.Fatal(err)
	}
	const shards, flows = 4, 2000
	var recording, reading sync.WaitGroup
	done := make(chan struct{})
	got := uint64(0)
	reading.Go(func() {
		for {
			select {
			case <-w.Lines():
				got++
			case <-done:
				return
			}
		}
	})
	for range shards {
		recording.Go(func() {
			for range flows {
				sink.Record(0, flow())
			}
		})
	}
	recording.Wait()
	close(done)
	reading.Wait()
	if sum := got + uint64(len(w.Lines())) + w.Lost(); sum != shards*flows {
		t.Errorf("%d flows came or are lost, of %d", sum, shards*flows)
	}
	w.Close()
	if sink.Wanted() {
		t.Error("a Watcher that is closed still watches")
	}
}

// TestWhatNobodyDescribedIsNotTold: a Flow that ended while nobody watched has no content
// and is not streamed, even if somebody watches when it is recorded.
func TestWhatNobodyDescribedIsNotTold(t *testing.T) {
	sink := &Sink{Metrics: NewMetrics(0)}
	w, err := sink.Watch()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	sink.Record(0, &Flow{Status: 200, Duration: time.Second})
	if n := len(w.Lines()); n != 0 || w.Lost() != 0 {
		t.Errorf("%d lines", n)
	}
}

func TestWatchersOfASinkAreBounded(t *testing.T) {
	sink := &Sink{Metrics: NewMetrics(0)}
	var all []*Watcher
	for range MaxWatchers {
		w, err := sink.Watch()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, w)
	}
	if _, err := sink.Watch(); err == nil {
		t.Error("there is one too many")
	}
	all[3].Close()
	all[3].Close() // closing twice has no further effect
	if _, err := sink.Watch(); err != nil {
		t.Error(err)
	}
	if _, err := sink.Watch(); err == nil {
		t.Error("closing one twice made room for two")
	}
}
