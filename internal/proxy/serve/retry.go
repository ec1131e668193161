package serve

import (
	"context"
	"net"
	"slices"
	"time"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy"
)

// The interval between checks of a taken port. It doubles up to maxRetry.
const (
	firstRetry = 250 * time.Millisecond
	maxRetry   = 5 * time.Second
)

// Retry waits until taken ports are free. When a listener that could not be opened can
// be, it makes the Snapshot be applied again.
type Retry struct {
	closed func() []Address
	again  func()
	wake   chan struct{}
}

// Address is the address of a listener, of TCP or UDP.
type Address struct {
	Text string
	UDP  bool
}

// NewRetry returns a Retry. closed returns the addresses of the listeners that are
// configured and not open. again makes the Snapshot be applied again, now or soon.
func NewRetry(closed func() []Address, again func()) *Retry {
	return &Retry{closed: closed, again: again, wake: make(chan struct{}, 1)}
}

// Wake tells Retry that a Snapshot was applied, so that other ports may be taken. It
// may be called from any goroutine.
func (r *Retry) Wake() {
	select {
	case r.wake <- struct{}{}:
	default: // a signal is pending already
	}
}

// Run checks the ports until ctx ends. It costs nothing while no port is taken.
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

// canListen opens the address and closes it again. Only the proxy opens its listeners,
// and applying a Snapshot in vain would create a Generation for nothing.
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

// Closed returns the addresses of listeners that p's Snapshot has and that are not
// open.
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
