package serve

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"windrose.dev/windrose/internal/reason"
)

func TestLedger(t *testing.T) {
	at := func(line int) reason.Origin { return reason.Origin{File: "a.yaml", Line: line} }
	bad, odd, info := reason.New(reason.ParseError, at(1), "x"), reason.New(reason.NotHonoured, at(2), "y"), reason.New(reason.UnknownKind, at(3), "z")
	moved := reason.New(reason.ParseError, at(9), "x")
	tests := []struct {
		name   string
		now    []reason.Report
		fresh  []reason.Report
		counts Reload
	}{
		{"all are new", []reason.Report{bad, odd, info}, []reason.Report{bad, odd, info}, Reload{Errors: 1, Warnings: 1}},
		{"nothing changed", []reason.Report{bad, odd, info}, nil, Reload{Errors: 1, Warnings: 1}},
		{"an info is nothing to resolve", []reason.Report{bad, odd}, nil, Reload{Errors: 1, Warnings: 1}},
		{"one moved", []reason.Report{moved, odd}, []reason.Report{moved}, Reload{Errors: 1, Warnings: 1}},
		{"two are resolved", nil, nil, Reload{Resolved: 2}},
		{"one is back", []reason.Report{odd}, []reason.Report{odd}, Reload{Warnings: 1}},
	}
	var l Ledger
	for _, tt := range tests {
		fresh, counts := l.Update(tt.now)
		if diff := cmp.Diff(tt.fresh, fresh); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
		if diff := cmp.Diff(tt.counts, counts); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}

func TestReloadLine(t *testing.T) {
	r := Reload{Generation: 7, Hash: "0123456789abcdef", Errors: 1, Warnings: 2, Resolved: 3}
	if got, want := r.String(), "reloaded: generation 7 0123456789ab, errors 1, warnings 2, resolved 3"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	r.Kept = "no"
	if got, want := r.String(), "kept what was live, generation 7 0123456789ab: no; errors 1, warnings 2, resolved 3"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestRetry: the Snapshot is applied again only when a port has become free, and ports
// are checked only while one is taken.
func TestRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		taken, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		var asked, again atomic.Int32
		var wanted atomic.Bool
		r := NewRetry(func() []Address {
			asked.Add(1)
			if wanted.Load() {
				return []Address{{Text: taken.Addr().String()}}
			}
			return nil
		}, func() {
			again.Add(1)
			wanted.Store(false)
		})
		ctx, cancel := context.WithCancel(t.Context())
		go r.Run(ctx)
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := asked.Load(); n != 1 {
			t.Errorf("asked %d times while nothing happened", n)
		}
		wanted.Store(true)
		r.Wake()
		time.Sleep(time.Minute)
		synctest.Wait()
		// Two calls of closed per interval: 250 ms, doubled up to 5 s.
		if n := asked.Load(); again.Load() != 0 || n < 20 || n > 40 {
			t.Errorf("applied %d times, asked %d times in a minute", again.Load(), n)
		}
		taken.Close()
		time.Sleep(maxRetry)
		synctest.Wait()
		if n := again.Load(); n != 1 {
			t.Errorf("applied %d times after the port was free", n)
		}
		cancel()
		synctest.Wait()
	})
}
