//go:build !linux

package sock

import "context"

// Hangups watches nothing on this system: a client that goes away is noticed
// when the proxy next reads from or writes to it.
type Hangups struct{}

// NewHangups makes a watcher.
func NewHangups() (*Hangups, error) { return &Hangups{}, nil }

// Run waits for ctx.
func (h *Hangups) Run(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func (h *Hangups) add(*Conn)    {}
func (h *Hangups) remove(*Conn) {}
