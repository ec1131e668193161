//go:build !linux

package sock

import "context"

// Hangups watches nothing on this system: the proxy notices a client that has gone when
// it next reads from it or writes to it.
type Hangups struct{}

// NewHangups returns a watcher.
func NewHangups() (*Hangups, error) { return &Hangups{}, nil }

// Run waits for ctx.
func (h *Hangups) Run(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func (h *Hangups) add(*Conn)    {}
func (h *Hangups) remove(*Conn) {}
