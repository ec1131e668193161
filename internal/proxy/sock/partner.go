package sock

import "sync/atomic"

// Partner is what waits for bytes while its other side may go away: a
// connection, or a stream of one.
type Partner struct {
	// Interrupt makes pending and later reads fail with os.ErrDeadlineExceeded.
	Interrupt func()
}

// Hangup remembers whether a peer has hung up, and whom that interrupts.
type Hangup struct {
	gone    atomic.Bool
	partner atomic.Pointer[Partner]
}

// Gone reports whether the peer hung up.
func (h *Hangup) Gone() bool { return h.gone.Load() }

// AbortOnHangup has partner interrupted when the peer hangs up. It returns false
// when that has already happened.
func (h *Hangup) AbortOnHangup(partner *Partner) bool {
	h.partner.Store(partner)
	return !h.gone.Load()
}

// KeepOnHangup ends what AbortOnHangup began. It returns false when partner
// was, or is being, interrupted, and must not be used again.
func (h *Hangup) KeepOnHangup(partner *Partner) bool {
	return h.partner.CompareAndSwap(partner, nil)
}

// HungUp is called by whoever notices.
func (h *Hangup) HungUp() {
	h.gone.Store(true)
	if partner := h.partner.Swap(nil); partner != nil {
		partner.Interrupt()
	}
}

// Renew makes h ready for another peer.
func (h *Hangup) Renew() {
	h.gone.Store(false)
	h.partner.Store(nil)
}
