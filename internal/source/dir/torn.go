package dir

import (
	"fmt"
	"strings"
	"time"

	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
)

// A program that writes a file in place leaves a beginning of it for a moment.
// Where that ends between two documents, nothing in it is broken, and the
// resources behind the cut would go: a guard, or half of the routes. So content
// that is a strict beginning of what stood in the file before counts as still
// being written, and what stood there before counts, for a bounded time
// (Config.Torn). After that it is believed: someone has removed the end.
//
// A beginning of other content than before is not known for one.

// follow notes what stood in the file before.
func (t *fileText) follow(before *fileText, now time.Time, torn time.Duration) {
	whole, until := before, now.Add(torn)
	if before.whole != nil && !before.believed(now) {
		whole = before.whole
		if !before.until.IsZero() {
			until = before.until
		}
	}
	if len(t.content) >= len(whole.content) || !strings.HasPrefix(whole.content, t.content) {
		return
	}
	t.whole = whole
	if strings.TrimSpace(t.content) != "" {
		t.until = until // an empty file has a rule of its own: see loseEmptied
	}
}

// believed reports whether the content counts, rather than what stood there
// before. Nothing is held because a file is empty.
func (t *fileText) believed(now time.Time) bool {
	return t.whole == nil || !t.until.IsZero() && !now.Before(t.until)
}

// holdTorn puts what stood before in the place of files that are still being
// written.
func (l *Loader) holdTorn(files []foundFile, texts []*fileText, s *source.Batch) {
	now := time.Now()
	for i, text := range texts {
		if text == nil || text.believed(now) || text.until.IsZero() {
			continue
		}
		texts[i] = text.whole
		l.loadAgain(text.until.Sub(now))
		message := fmt.Sprintf("the file is a beginning of what it was, and counts as still being written for %v: what it held stays in force", l.config.Torn)
		report := reason.New(reason.KeptLastGood, reason.Origin{File: files[i].path}, message)
		s.Report(report.WithFix("nothing to do: after that it counts as it is"))
	}
}
