package l4

import (
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"windrose.dev/windrose/internal/proxy/engine"
	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/proxy/policy"
	"windrose.dev/windrose/internal/reason"
)

// Pipe moves bytes both ways between a client and a backend.
type Pipe struct {
	client, up End
	idle       time.Duration
	engine     *engine.Engine
	// allowed says whether a Generation still lets the pipe be, and verdict is the first
	// that did not.
	allowed func(*exchange.Generation) policy.Verdict
	verdict atomic.Pointer[policy.Verdict]

	in, out atomic.Int64 // bytes to the backend, and to the client
	last    atomic.Int64 // the time of the last bytes, either way
	// ended is why it broke off, as an Outcome + 1; 0 while it did not. It is negative
	// where Close did it.
	ended atomic.Int32
}

// run moves bytes until both sides have ended, one has failed, or both are silent
// for longer than idle.
func (p *Pipe) run() {
	p.last.Store(p.engine.Clock.Now())
	done := make(chan struct{})
	p.engine.Go(func() {
		defer close(done)
		defer func() {
			if broken := recover(); broken != nil {
				p.engine.Panicked(broken)
				p.fail(reason.InternalError)
			}
		}()
		p.carry(newMover(p.client, p.up), &p.in, reason.ClientGone, reason.UpstreamReset)
	})
	p.carry(newMover(p.up, p.client), &p.out, reason.UpstreamTruncated, reason.ClientGone)
	<-done
}

// carry moves bytes one way. When that fails it ends the other way too. gone is why
// when it was the reader's end that failed, and lost the writer's.
func (p *Pipe) carry(m mover, count *atomic.Int64, gone, lost reason.Outcome) {
	defer m.close()
	for {
		n, err := m.take(p.engine.Clock.Now(), p.idle)
		now := p.engine.Clock.Now()
		switch {
		case errors.Is(err, io.EOF):
			if m.end(now, p.idle) != nil {
				p.fail(lost)
			}
			return
		case errors.Is(err, os.ErrDeadlineExceeded):
			if p.ended.Load() == 0 && now-p.last.Load() < int64(p.idle) {
				continue // the other way is busy
			}
			p.fail(reason.IdleTimeout)
			return
		case err != nil:
			p.fail(gone)
			return
		}
		p.last.Store(now)
		if err := m.give(now, p.idle); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				lost = reason.IdleTimeout
			}
			p.fail(lost)
			return
		}
		count.Add(int64(n))
	}
}

// fail breaks both sides off at once: an end in order could wait for a peer that
// takes nothing. The first reason is the one that counts.
func (p *Pipe) fail(why reason.Outcome) { p.end(int32(why) + 1) }

func (p *Pipe) end(as int32) {
	if p.ended.CompareAndSwap(0, as) {
		p.client.Abort()
		p.up.Abort()
	}
}

// Close ends the pipe from outside, such as a drain. It may be called from any
// goroutine.
func (p *Pipe) Close(why reason.Outcome) { p.end(-int32(why) - 1) }

// outcome is how the pipe ended, and closed that Close did it.
func (p *Pipe) outcome() (why reason.Outcome, closed bool) {
	switch ended := p.ended.Load(); {
	case ended > 0:
		return reason.Outcome(ended - 1), false
	case ended < 0:
		return reason.Outcome(-ended - 1), true
	}
	return reason.OK, false
}

// reconsider closes the pipe if gen would not open it: a policy denies it, or something
// that guards it is not in force. Whatever else has changed, it goes on.
func (p *Pipe) reconsider(gen *exchange.Generation) {
	if v := p.allowed(gen); !v.Allowed() {
		p.verdict.CompareAndSwap(nil, &v)
		p.Close(v.Outcome)
	}
}

// pipes are all that are open.
type pipes struct {
	mu  sync.Mutex
	all map[*Pipe]*webSocket // nil for those that are none
}

func (ps *pipes) add(p *Pipe, socket *webSocket) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.all[p] = socket
}

func (ps *pipes) remove(p *Pipe) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	delete(ps.all, p)
}

// each calls do for all that are open now. It must not wait: nothing opens or ends
// meanwhile.
func (ps *pipes) each(do func(*Pipe, *webSocket)) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	for p, socket := range ps.all {
		do(p, socket)
	}
}
