// Package control owns the build loop: it reads a Set, translates it, and has
// the Snapshot applied.
//
// One goroutine builds. Events only say "dirty"; what the world looks like is
// read anew each time, after a short hold-off, so that a burst of changes is
// one build. [Loop.Build] is the same step without the loop, for those who
// start, and for tests.
package control

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
	"windrose.dev/windrose/internal/translate"
	"windrose.dev/windrose/internal/translate/status"
)

// The hold-off: a build waits for this much quiet, and this long at most.
const (
	quiet = 10 * time.Millisecond
	most  = 100 * time.Millisecond
)

// Config is what a Loop needs.
type Config struct {
	// Read returns the Set as it is now. Only the loop calls it.
	Read    func() *source.Set
	Options translate.Options
	// Apply makes a Snapshot live and returns what could not be honoured.
	Apply func(*model.Snapshot) ([]reason.Report, error)
	// Built is told of each build. It may be nil.
	Built func(Result)
}

// Result is what one build came to.
type Result struct {
	Snapshot *model.Snapshot
	// Reports are those of reading, translating and applying, sorted.
	Reports []reason.Report
	// Status is what a controller would write into the objects of the Set.
	Status status.List
	// Err is why the Snapshot could not be applied; what was live stays so.
	Err error
	// Since is when the first sign of the change came; zero at the start.
	Since time.Time
	// Took are the times of the steps.
	Took Took
}

// Took are the times that the steps of a build took.
type Took struct{ Read, Translate, Apply time.Duration }

// Loop builds whenever something changed.
type Loop struct {
	cfg     Config
	holdoff *Holdoff
	since   atomic.Pointer[time.Time]
	// sent is the Snapshot that was encoded last, and decoded is what came of it.
	sent, decoded *model.Snapshot
	built         translate.Result
}

// New makes a Loop.
func New(cfg Config) *Loop {
	return &Loop{cfg: cfg, holdoff: NewHoldoff(quiet, most)}
}

// Dirty says that a later Read may differ. It may be called from anywhere.
func (l *Loop) Dirty() {
	now := time.Now()
	l.since.CompareAndSwap(nil, &now)
	l.holdoff.Mark()
}

// Run builds after each change until ctx ends.
func (l *Loop) Run(ctx context.Context) error {
	l.holdoff.Run(ctx, func() { l.Build() })
	return ctx.Err()
}

// Build builds once. It must not run beside Run.
func (l *Loop) Build() Result {
	var r Result
	if since := l.since.Swap(nil); since != nil {
		r.Since = *since
	}
	start := time.Now()
	set := l.cfg.Read()
	r.Took.Read = lap(&start)
	built := translate.BuildOver(set, l.cfg.Options, &l.built)
	l.built = built
	r.Took.Translate = lap(&start)
	more, err := l.apply(built.Snapshot)
	if errors.Is(err, model.ErrWire) {
		// One value of one object is no reason to keep all else back.
		options := l.cfg.Options
		options.CloseUnsound = true
		built = translate.Build(set, options)
		more, err = l.apply(built.Snapshot)
	}
	r.Took.Apply = lap(&start)
	r.Snapshot, r.Status = built.Snapshot, built.Status
	r.Reports, r.Err = reason.Sorted(append(built.Reports, more...)), err
	if l.cfg.Built != nil {
		l.cfg.Built(r)
	}
	return r
}

func lap(start *time.Time) time.Duration {
	now := time.Now()
	d := now.Sub(*start)
	*start = now
	return d
}

// apply hands the Snapshot over as a remote proxy would get it: what changed is encoded
// and decoded, so that what the wire cannot carry is seen here first.
func (l *Loop) apply(s *model.Snapshot) ([]reason.Report, error) {
	data, err := model.EncodeOver(s, l.sent)
	if err != nil {
		return nil, err
	}
	decoded, err := model.DecodeOver(data, l.decoded)
	if err != nil {
		return nil, err
	}
	if decoded.Root != s.Root {
		return nil, fmt.Errorf("the snapshot changed on the wire from %s to %s", s.Root, decoded.Root)
	}
	l.sent, l.decoded = s, decoded
	return l.cfg.Apply(decoded)
}
