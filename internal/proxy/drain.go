package proxy

import (
	"context"
	"errors"
	"sync"
	"time"

	"windrose.dev/windrose/internal/observe"
)

// ErrSucceeded, as the cause for which the context of Run ends, says that
// another process holds the listening sockets too and goes on accepting.
var ErrSucceeded = errors.New("a successor has taken over")

// Run serves until ctx ends, then drains: it keeps accepting for DrainGrace
// while it asks clients to leave, stops accepting, lets exchanges end for
// DrainWait, and closes what is left. It returns the number of connections
// that it had to cut.
func (p *Proxy) Run(ctx context.Context) (cut int, err error) {
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var helpers sync.WaitGroup
	for _, run := range []func(context.Context) error{p.engine.Hangups.Run, p.registry.Run, p.tls.Run} {
		helpers.Go(func() { run(inner) })
	}
	<-ctx.Done()
	cut = p.drain(errors.Is(context.Cause(ctx), ErrSucceeded))
	cancel()
	helpers.Wait()
	return cut, nil
}

// Drain begins to drain without ending Run: answers ask clients to leave.
func (p *Proxy) Drain() {
	p.engine.Drain()
	p.frontend.Drain()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cfg.Metrics.SetState(func(s *observe.State) { s.Ready = false })
}

// cutWait is how long what was cut may take to end.
const cutWait = 5 * time.Second

func (p *Proxy) drain(succeeded bool) (cut int) {
	p.Drain()
	time.Sleep(p.cfg.DrainGrace)
	p.mu.Lock()
	p.closed = true
	p.sockets.leave(succeeded)
	p.mu.Unlock()
	defer p.http.Stop()
	p.engine.Stop()
	p.frontend.Stop()
	p.l4.Leave()
	p.engine.EndStop()
	done := make(chan struct{})
	go func() { p.engine.Wait(); close(done) }()
	select {
	case <-done:
		return 0
	case <-time.After(p.cfg.DrainWait):
	}
	cut = p.cut()
	select {
	case <-done:
	case <-time.After(cutWait): // whatever hangs must not keep the process
	}
	return cut
}

// cut ends all that a drain has left, and returns how much that was.
func (p *Proxy) cut() (cut int) {
	p.mu.Lock()
	for _, l := range p.sockets.udp() {
		cut += l.Cut()
	}
	p.mu.Unlock()
	cut += p.frontend.Count() // before the first is gone
	p.l4.Cut()
	p.frontend.Cut()
	return cut
}
