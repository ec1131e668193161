package budget

import (
	"testing"
	"time"
)

func TestBudget(t *testing.T) {
	const start = int64(7 * time.Hour)
	b := New(3, time.Second, start)
	for i := range 3 {
		if !b.Spend(start) {
			t.Fatalf("number %d is refused", i)
		}
	}
	steps := []struct {
		what  string
		after time.Duration
		repay int64
		want  bool
	}{
		{"nothing is left", 0, 0, false},
		{"what was refused counts", time.Second, 0, false},
		{"two seconds give two, and one was owed", 3 * time.Second, 0, true},
		{"what is repaid can be spent", 3 * time.Second, 1, true},
		{"it does not grow beyond its most", time.Hour, 1000, true},
	}
	for _, s := range steps {
		b.Repay(s.repay)
		if got := b.Spend(start + int64(s.after)); got != s.want {
			t.Errorf("%s: %t", s.what, got)
		}
	}
	for range 2 {
		b.Spend(start + int64(time.Hour))
	}
	if b.Spend(start + int64(time.Hour)) {
		t.Error("more than its most at once")
	}
}
