package serve

import (
	"fmt"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/reason"
)

// Reload is what is logged of one reload.
type Reload struct {
	// Generation and Hash are of what is live now.
	Generation uint64 `json:"generation"`
	Hash       string `json:"hash"`
	// Errors and Warnings count the Reports that stand now, Resolved those of
	// both that stood at the reload before and do not any more.
	Errors   int `json:"errors"`
	Warnings int `json:"warnings"`
	Resolved int `json:"resolved"`
	// Kept is why what was live before stays; "" if it does not.
	Kept string `json:"kept,omitempty"`
}

// shownHash is how much of a hash people are shown: enough to find it.
const shownHash = 12

// String is the line for people.
func (r Reload) String() string {
	live := fmt.Sprintf("generation %d %.*s", r.Generation, shownHash, r.Hash)
	counts := fmt.Sprintf("errors %d, warnings %d, resolved %d", r.Errors, r.Warnings, r.Resolved)
	if r.Kept != "" {
		return fmt.Sprintf("kept what was live, %s: %s; %s", live, r.Kept, counts)
	}
	return "reloaded: " + live + ", " + counts
}

// Ledger remembers which Reports stand, so that each is told once and counts
// when it is resolved. The zero value has none. One goroutine uses it at a
// time.
type Ledger struct{ standing []reason.Report }

// Update takes the Reports that stand now. It returns those that are new, and
// the counts for a Reload.
func (l *Ledger) Update(now []reason.Report) (fresh []reason.Report, counts Reload) {
	told := make(map[reason.Report]bool, len(l.standing))
	for _, r := range l.standing {
		told[r] = true
	}
	for _, r := range now {
		if !told[r] {
			fresh = append(fresh, r)
		}
	}
	counts = Reload{
		Errors: reason.Count(now, reason.Error), Warnings: reason.Count(now, reason.Warning),
		Resolved: resolved(l.standing, now),
	}
	l.standing = now
	return fresh, counts
}

// resolved counts errors and warnings that stood before and do not now. One
// that has only moved to another line is not resolved.
func resolved(before, now []reason.Report) (n int) {
	left := make(map[reason.Report]bool, len(now))
	for _, r := range now {
		left[lineless(r)] = true
	}
	for _, r := range before {
		if r.Severity > reason.Info && !left[lineless(r)] {
			n++
		}
	}
	return n
}

func lineless(r reason.Report) reason.Report {
	r.Origin.Line = 0
	return r
}

// Of puts into r what is live.
func (r Reload) Of(generation uint64, s *model.Snapshot) Reload {
	r.Generation, r.Hash = generation, s.Root.String()
	return r
}
