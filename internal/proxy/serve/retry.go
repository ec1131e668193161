package serve

import (
	"context"
	"net"
	"slices"
	"time"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy"
)

// The pause before a taken port is tried again: it doubles up to maxRetry.
const (
	firstRetry = 250 * time.Millisecond
	maxRetry   = 5 * time.Second
)

// Retry waits for taken ports: once a listener that could not be opened can
// be, it has the Snapshot applied again.
type Retry struct {
	closed func() []Address
	again  func()
	wake   chan struct{}
}

// Address is where a listener is opened: one of TCP, or of UDP.
type Address struct {
	Text string
	UDP  bool
}

// NewRetry makes a Retry. closed lists the addresses of listeners that are
// wanted and not open; again has the Snapshot applied again, now or soon.
func NewRetry(closed func() []Address, again func()) *Retry {
	return &Retry{closed: closed, again: again, wake: make(chan struct{}, 1)}
}

// Wake says that a Snapshot was applied, so that other ports may be taken. It
// may be called from anywhere.
func (r *Retry) Wake() {
	select {
	case r.wake <- struct{}{}:
	default: // a signal waits already
	}
}

// Run tries until ctx ends. It costs nothing while no port is taken.
func (r *Retry) Run(ctx context.Context) {
	for pause := firstRetry; ; {
		var due <-chan time.Time
		if len(r.closed()) > 0 {
			due = time.After(pause)
		}
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
			pause = firstRetry
		case <-due:
			if slices.ContainsFunc(r.closed(), canListen) {
				r.again()
			}
			pause = min(2*pause, maxRetry)
		}
	}
}

// canListen only tries: the proxy opens its listeners itself, and a Snapshot
// applied in vain would be a Generation for nothing.
func canListen(address Address) bool {
	if address.UDP {
		l, err := net.ListenPacket("udp", address.Text)
		if err == nil {
			l.Close()
		}
		return err == nil
	}
	l, err := net.Listen("tcp", address.Text)
	if err != nil {
		return false
	}
	l.Close()
	return true
}

// Closed lists the addresses of listeners that p's Snapshot asks for and that
// are not open.
func Closed(p *proxy.Proxy, address func(model.Listener) string) (out []Address) {
	for _, l := range p.Generation().Snapshot.Config.Listeners {
		if p.Addr(l.ID) == nil {
			out = append(out, Address{address(l), l.ID.UDP})
		}
	}
	for _, udp := range p.WithoutHTTP3() {
		out = append(out, Address{udp, true})
	}
	return out
}
