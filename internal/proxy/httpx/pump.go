package httpx

import (
	"errors"
	"os"
	"sync/atomic"

	"windrose.dev/windrose/internal/proxy/engine"
	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/reason"
)

// pump moves a request's body that is still coming to the backend, in a goroutine of
// its own, while the driver's waits for the answer.
type pump struct {
	engine *engine.Engine
	req    *request
	times  *times
	client client
	up     backend
	copies *copies
	// permitted is asked for each part of the body.
	permitted permission

	started bool // at any time of this exchange
	running bool
	done    chan struct{} // holds a value once the pump has ended
	out     []byte
	recoded []byte
	// stopped is why the pump broke off, as an Outcome + 1; 0 while it goes
	// well.
	stopped atomic.Int32
	detail  string
	policy  string       // that denied the request
	failed  bool         // to be looked at when it has ended
	asked   atomic.Bool  // to end
	taken   atomic.Bool  // the whole body was read
	last    atomic.Int64 // when it ended, on the clock
	// answered is when something was last written to the client.
	answered atomic.Int64
	// replay is what was sent of the body, for another attempt or for mirrors.
	replay replayBuffer
	// mute has the body be read for the replay buffer alone: the backend takes no more.
	mute bool
}

// replayBuffer keeps a request's body up to a bound.
type replayBuffer struct {
	data  []byte
	most  int // bytes; 0 keeps nothing
	keeps atomic.Bool
}

// start begins to keep a body, of which first has come, if its length allows.
func (r *replayBuffer) start(first []byte, length int64, most int) (keeps bool) {
	if most <= 0 || length > int64(most) {
		return false
	}
	r.most = most
	r.keeps.Store(true)
	r.data = append(r.data[:0], first...)
	return true
}

// add keeps more, unless it gets too large.
func (r *replayBuffer) add(data []byte) {
	switch {
	case !r.keeps.Load():
		r.data = nil
	case len(r.data)+len(data) > r.most:
		r.keeps.Store(false)
	default:
		r.data = append(r.data, data...)
	}
}

// start begins to move the rest of the body to up. The head stays where it is.
func (p *pump) start(up backend) {
	p.client.park()
	p.up = up
	p.started, p.running = true, true
	p.startReplay()
	p.engine.Go(p.run)
}

// startReplay keeps what is sent, where somebody may need it.
func (p *pump) startReplay() {
	limits, most := &p.engine.Limits, 0
	if p.req.x.Route.Retry != nil {
		most = limits.RetryBytes
	}
	if p.copies.waiting() {
		most = max(most, limits.MirrorBytes)
	}
	if p.replay.start(p.req.first.data, p.req.x.BodyLength, most) {
		p.copies.detach(p.req)
		return
	}
	p.copies.drop()
	p.copies.forget()
}

// stop waits until the pump has ended; its writes must be failing. Unless it had
// read the whole request, the client's connection cannot be read from any more.
func (p *pump) stop() {
	if !p.taken.Load() {
		p.asked.Store(true)
		p.client.Interrupt()
		p.client.closeAfter()
	}
	p.join()
}

// join waits until the pump has ended.
func (p *pump) join() {
	<-p.done
	p.running = false
}

// took marks bytes as used, whether they can be written or not: what follows is the
// next request. After the last ones the client's connection is no longer the pump's.
func (p *pump) took(last bool) {
	p.client.took()
	if last {
		p.taken.Store(true)
	}
}

// requestTaken reports whether the whole request was read, so that the client's
// connection is ready for the next.
func (p *pump) requestTaken() bool {
	if p.running {
		return p.taken.Load()
	}
	return p.client.whole()
}

// ended reports, without waiting, whether the whole body was moved.
func (p *pump) ended() bool {
	if !p.running {
		return p.client.whole()
	}
	select {
	case <-p.done:
		p.running = false
		return p.client.whole()
	default:
		return false
	}
}

// why is how the pump has broken the exchange off, if it has.
func (p *pump) why() (outcome reason.Outcome, detail string, broken bool) {
	if stopped := p.stopped.Load(); stopped != 0 {
		return reason.Outcome(stopped - 1), p.detail, true
	}
	return 0, "", false
}

func (p *pump) run() {
	defer func() {
		if broken := recover(); broken != nil {
			p.engine.Panicked(broken)
			p.breakOff(reason.InternalError, "")
		}
		p.last.Store(p.engine.Clock.Now())
		p.done <- struct{}{}
	}()
	for !p.client.whole() {
		if outcome, detail := p.once(); outcome != reason.OK {
			p.failed = true
			p.breakOff(outcome, detail)
			p.copies.drop()
			return
		}
	}
	p.failed = p.mute
	switch {
	case p.replay.keeps.Load():
		p.copies.send(p.replay.data, p.req.trailer())
	case p.replay.most > 0:
		p.copies.drop()
	}
}

// breakOff ends the exchange from within the pump. When it was the backend that
// broke off, its answer is still read: it may say why.
func (p *pump) breakOff(outcome reason.Outcome, detail string) {
	if outcome == reason.UpstreamReset {
		return
	}
	p.detail = detail
	p.stopped.Store(int32(outcome) + 1)
	p.up.Interrupt()
}

// once moves what one read brings. It returns how that failed, or OK.
func (p *pump) once() (outcome reason.Outcome, detail string) {
	p.times.limitBody(p.client)
	if p.asked.Load() {
		return reason.UpstreamReset, "" // the interrupt may just have been undone
	}
	data, err := p.client.more()
	if errors.Is(err, os.ErrDeadlineExceeded) && p.isConversation() {
		return reason.OK, ""
	}
	if err != nil {
		return p.bodyFailure(err)
	}
	if v := p.permitted.again(); !v.Allowed() {
		p.policy = v.Policy
		return v.Outcome, v.Detail
	}
	if !p.req.count(len(data)) {
		return reason.BodyTooLarge, errBodyTooLarge.Error()
	}
	last := p.client.whole()
	if data, err = p.req.recode(&p.recoded, data, last); err != nil {
		return reason.BadRequest, err.Error()
	}
	return p.pass(data, last)
}

// pass sends a part on.
func (p *pump) pass(data []byte, last bool) (outcome reason.Outcome, detail string) {
	if p.replay.add(data); last {
		p.out = append(p.out[:0], data...)
		data = p.out
		p.took(true) // before the backend can answer: the client's next request may follow
	}
	var err error
	if !p.mute {
		p.times.limitWrites(p.up, p.engine.Clock.Now())
		err = p.up.give(p.req.part(data, last))
	}
	if !last {
		p.took(false)
	}
	return p.given(err)
}

// isConversation reports whether a call goes on though its caller is silent: the
// server is not. Watches live like that.
func (p *pump) isConversation() bool {
	now := p.engine.Clock.Now()
	return p.req.call && !p.asked.Load() && !p.times.late(p.times.deadline) &&
		now-p.answered.Load() < int64(p.engine.Limits.BodyTimeout)
}

// bodyFailure says why a request's body did not come.
func (p *pump) bodyFailure(err error) (reason.Outcome, string) {
	var broken *msg.Error
	switch {
	case errors.As(err, &broken):
		return broken.Outcome, broken.Text
	case p.asked.Load():
		return reason.UpstreamReset, ""
	case !errors.Is(err, os.ErrDeadlineExceeded):
		return whyGone(p.client)
	case p.times.late(p.times.deadline):
		return reason.UpstreamTimeout, p.times.lateness("")
	}
	return reason.ClientTimeout, "the request's body stopped coming"
}

// given looks at how a write to the backend ended.
func (p *pump) given(err error) (outcome reason.Outcome, detail string) {
	timedOut := errors.Is(err, os.ErrDeadlineExceeded)
	p.mute = p.mute || err != nil && (!timedOut || p.times.overdue())
	switch {
	case p.mute && p.replay.keeps.Load():
		return reason.OK, "" // the driver notices by itself; there may be another attempt
	case timedOut && p.times.overdue():
		return reason.UpstreamTimeout, p.times.lateness("")
	case timedOut:
		return reason.UpstreamTimeout, "it did not take the request within the send timeout"
	case p.mute:
		return reason.UpstreamReset, "it stopped reading the request"
	}
	return reason.OK, ""
}

// whyGone is the outcome of an exchange whose client has gone, or was sent away.
func whyGone(c client) (reason.Outcome, string) {
	if fault := c.fault(); fault != nil {
		return fault.Outcome, fault.Text
	}
	return reason.ClientGone, ""
}
