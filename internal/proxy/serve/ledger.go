package serve

import (
	"fmt"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/reason"
)

// Reload is the log entry of one reload.
type Reload struct {
	// Generation and Hash identify what is live now.
	Generation uint64 `json:"generation"`
	Hash       string `json:"hash"`
	// Errors and Warnings count the current Reports. Resolved counts the errors and
	// warnings of the previous reload that no longer exist.
	Errors   int `json:"errors"`
	Warnings int `json:"warnings"`
	Resolved int `json:"resolved"`
	// Kept says why the previous Snapshot stays live; "" if it does not.
	Kept string `json:"kept,omitempty"`
}

// shownHash is the length of a hash in messages for people: enough to find it.
const shownHash = 12

// String returns the line for people.
func (r Reload) String() string {
	live := fmt.Sprintf("generation %d %.*s", r.Generation, shownHash, r.Hash)
	counts := fmt.Sprintf("errors %d, warnings %d, resolved %d", r.Errors, r.Warnings, r.Resolved)
	if r.Kept != "" {
		return fmt.Sprintf("kept what was live, %s: %s; %s", live, r.Kept, counts)
	}
	return "reloaded: " + live + ", " + counts
}

// Ledger remembers the current Reports, so that each is printed once and counted when
// it is resolved. The zero value has none. One goroutine uses it at a time.
type Ledger struct{ standing []reason.Report }

// Update replaces the current Reports. It returns the new ones, and the counts for a
// Reload.
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

// resolved counts the errors and warnings in before that are not in now. A Report that
// has only moved to another line is not resolved.
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

// Of fills in the Generation and Snapshot that are live.
func (r Reload) Of(generation uint64, s *model.Snapshot) Reload {
	r.Generation, r.Hash = generation, s.Root.String()
	return r
}
