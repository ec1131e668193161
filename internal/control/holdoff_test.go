package control

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// TestHoldoff marks at given times and tells when the Holdoff fires, all in
// milliseconds, with 10 ms quiet and 100 ms at most.
func TestHoldoff(t *testing.T) {
	burst := func(from, to, every int) (out []int) {
		for at := from; at <= to; at += every {
			out = append(out, at)
		}
		return out
	}
	for _, test := range []struct {
		name        string
		marks, want []int
	}{
		{"nothing", nil, nil},
		{"one mark", []int{5}, []int{15}},
		{"a burst", []int{0, 4, 8, 9}, []int{19}},
		{"two bursts", []int{0, 3, 40, 45}, []int{13, 55}},
		{"no end of marks", burst(0, 230, 7), []int{100, 205, 234}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := firesAt(t, test.marks)
				if len(got) != len(test.want) {
					t.Fatalf("fired at %v, want %v", got, test.want)
				}
				for i := range got {
					if got[i] != test.want[i] {
						t.Fatalf("fired at %v, want %v", got, test.want)
					}
				}
			})
		})
	}
}

// firesAt runs inside a synctest bubble, so that time is exact and costs none.
func firesAt(t *testing.T, marks []int) (fired []int) {
	ctx, cancel := context.WithCancel(t.Context())
	h := NewHoldoff(10*time.Millisecond, 100*time.Millisecond)
	start := time.Now()
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.Run(ctx, func() { fired = append(fired, int(time.Since(start).Milliseconds())) })
	}()
	for _, at := range marks {
		time.Sleep(time.Duration(at)*time.Millisecond - time.Since(start))
		h.Mark()
		synctest.Wait()
	}
	time.Sleep(time.Second)
	cancel()
	<-done
	return fired
}

// TestHoldoffRemembersMarksWhileFiring: what happens during a fire leads to
// another one.
func TestHoldoffRemembersMarksWhileFiring(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		h := NewHoldoff(10*time.Millisecond, 100*time.Millisecond)
		fires := make(chan struct{}, 8)
		done := make(chan struct{})
		first := true
		go func() {
			defer close(done)
			h.Run(ctx, func() {
				if first {
					h.Mark()
					first = false
				}
				fires <- struct{}{}
			})
		}()
		h.Mark()
		time.Sleep(time.Second)
		cancel()
		<-done
		if len(fires) != 2 {
			t.Errorf("fired %d times, want 2", len(fires))
		}
	})
}
