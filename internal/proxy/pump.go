package proxy

import (
	"errors"
	"os"
	"sync/atomic"

	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/reason"
)

// pump moves a request body that is still coming to the backend, in a
// goroutine of its own, while the transfer's waits for the answer.
type pump struct {
	started bool // at any time of this exchange
	running bool
	done    chan struct{} // holds a value once the pump has ended
	out     []byte
	recoded []byte
	// stopped is why the pump broke off, as an Outcome + 1; 0 while it goes
	// well.
	stopped atomic.Int32
	detail  string
	failed  bool         // to be looked at when it has ended
	told    atomic.Bool  // to end
	taken   atomic.Bool  // the whole body was read
	last    atomic.Int64 // when it ended, on the clock
	// answered is when something was last written to the client.
	answered atomic.Int64
	// record is what was sent of the body, while it keeps it: for another attempt, or for
	// mirrors. A deaf one goes on for that alone: the backend has broken off.
	record []byte
	most   int      // bytes of it
	copied outgoing // what mirrors get beside the body
	keeps  atomic.Bool
	deaf   bool
}

// startPump begins to move the rest of the request's body. The head stays
// where it is.
func (t *transfer) startPump() {
	t.client.park()
	t.pump.started, t.pump.running = true, true
	t.startRecord()
	t.proxy.serving.Go(t.runPump)
}

// startRecord has the pump keep what it sends, where somebody may need it.
func (t *transfer) startRecord() {
	limits, most := &t.proxy.cfg.Limits, 0
	if t.x.Route.Retry != nil {
		most = limits.RetryBytes
	}
	if len(t.copies) > 0 {
		most = max(most, limits.MirrorBytes)
	}
	if most > 0 && t.x.BodyLength <= int64(most) {
		t.pump.most = most
		t.pump.keeps.Store(true)
		t.pump.record = append(t.pump.record[:0], t.early...)
		if len(t.copies) > 0 {
			t.pump.copied = t.copied()
		}
		return
	}
	t.dropCopies()
	t.copies = t.copies[:0]
}

// keep adds to the record, unless that grows too large.
func (p *pump) keep(data []byte) {
	switch {
	case !p.keeps.Load():
		p.record = nil
	case len(p.record)+len(data) > p.most:
		p.keeps.Store(false)
	default:
		p.record = append(p.record, data...)
	}
}

// stopPump waits until the pump has ended; its writes must be failing. Unless
// it had read the whole request, the client's connection cannot be read from
// any more.
func (t *transfer) stopPump() {
	taken := t.pump.taken.Load()
	if !taken {
		t.pump.told.Store(true)
		t.client.Interrupt()
		t.client.closeAfter()
	}
	<-t.pump.done
	t.pump.running = false
}

// pumpTook marks bytes as used, whether they can be written or not: what
// follows is the next request. After the last ones the client's connection is
// no longer the pump's.
func (t *transfer) pumpTook(last bool) {
	t.client.took()
	if last {
		t.pump.taken.Store(true)
	}
}

// requestTaken tells whether the whole request was read, so that the client's
// connection is ready for the next.
func (t *transfer) requestTaken() bool {
	if t.pump.running {
		return t.pump.taken.Load()
	}
	return t.client.whole()
}

// pumpEnded tells, without waiting, whether the whole body was moved.
func (t *transfer) pumpEnded() bool {
	if !t.pump.running {
		return t.client.whole()
	}
	select {
	case <-t.pump.done:
		t.pump.running = false
		return t.client.whole()
	default:
		return false
	}
}

func (t *transfer) runPump() {
	defer func() {
		if broken := recover(); broken != nil {
			t.proxy.panicked(broken)
			t.stopFor(reason.InternalError, "")
		}
		t.pump.last.Store(t.proxy.clock.Now())
		t.pump.done <- struct{}{}
	}()
	for !t.client.whole() {
		outcome, detail, ok := t.pumpOnce()
		if !ok {
			t.pump.failed = true
			t.stopFor(outcome, detail)
			t.dropCopies()
			return
		}
	}
	if t.pump.failed = t.pump.deaf; t.pump.keeps.Load() {
		t.sendCopies(&t.pump.copied, t.pump.record)
	} else if t.pump.most > 0 {
		t.dropCopies()
	}
}

// stopFor ends the exchange from within the pump. When it was the backend that
// broke off, its answer is still read: it may say why.
func (t *transfer) stopFor(outcome reason.Outcome, detail string) {
	if outcome == reason.UpstreamReset {
		return
	}
	t.pump.detail = detail
	t.pump.stopped.Store(int32(outcome) + 1)
	t.up.Interrupt()
}

// pumpOnce moves what one read brings. On failure it says why.
func (t *transfer) pumpOnce() (outcome reason.Outcome, detail string, ok bool) {
	t.limitBody(t.proxy.clock.Now())
	if t.pump.told.Load() {
		return reason.UpstreamReset, "", false // the interrupt may just have been undone
	}
	data, err := t.client.more()
	if errors.Is(err, os.ErrDeadlineExceeded) && t.isConversation() {
		return 0, "", true
	}
	if err != nil {
		outcome, detail = t.bodyFailure(err)
		return outcome, detail, false
	}
	if t.overLimit(len(data)) {
		return reason.BodyTooLarge, errBodyTooLarge.Error(), false
	}
	last := t.client.whole()
	if data, err = t.recodeRequest(&t.pump.recoded, data, last); err != nil {
		return reason.BadRequest, err.Error(), false
	}
	if t.pump.keep(data); last {
		t.pump.out = append(t.pump.out[:0], data...)
		data = t.pump.out
		t.pumpTook(true) // before the backend can answer: the client's next request may follow
	}
	if !t.pump.deaf {
		t.limitWrites(t.proxy.clock.Now())
		err = t.up.give(data, last)
	}
	if !last {
		t.pumpTook(false)
	}
	return t.given(err)
}

// isConversation tells whether a call goes on though its caller is silent: the
// server is not. Watches live like that.
func (t *transfer) isConversation() bool {
	now := t.proxy.clock.Now()
	return t.call && !t.pump.told.Load() && !t.late(t.deadline) &&
		now-t.pump.answered.Load() < int64(t.proxy.cfg.Limits.BodyTimeout)
}

// bodyFailure says why a request's body did not come.
func (t *transfer) bodyFailure(err error) (reason.Outcome, string) {
	var broken *msg.Error
	switch {
	case errors.As(err, &broken):
		return broken.Outcome, broken.Text
	case t.pump.told.Load():
		return reason.UpstreamReset, ""
	case !errors.Is(err, os.ErrDeadlineExceeded):
		return t.whyGone()
	case t.late(t.deadline):
		return reason.UpstreamTimeout, t.lateness("")
	}
	return reason.ClientTimeout, "the request's body stopped coming"
}

// given looks at how a write to the backend ended.
func (t *transfer) given(err error) (outcome reason.Outcome, detail string, ok bool) {
	timedOut := errors.Is(err, os.ErrDeadlineExceeded)
	t.pump.deaf = t.pump.deaf || err != nil && (!timedOut || t.overdue())
	switch {
	case t.pump.deaf && t.pump.keeps.Load():
		return 0, "", true // whoever broke off notices; there may be another attempt
	case timedOut && t.overdue():
		return reason.UpstreamTimeout, t.lateness(""), false
	case timedOut:
		return reason.UpstreamTimeout, "it did not take the request within the send timeout", false
	case t.pump.deaf:
		return reason.UpstreamReset, "it stopped reading the request", false
	}
	return 0, "", true
}
