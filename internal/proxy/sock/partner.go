package sock

import "sync/atomic"

// Partner is a connection or stream that waits for bytes for the sake of another one,
// whose peer may hang up meanwhile.
type Partner struct {
	// Interrupt makes pending and later reads fail with os.ErrDeadlineExceeded.
	Interrupt func()
}

// Hangup records whether a peer has hung up, and which Partner that interrupts.
type Hangup struct {
	gone    atomic.Bool
	partner atomic.Pointer[Partner]
}

// Gone reports whether the peer has hung up.
func (h *Hangup) Gone() bool { return h.gone.Load() }

// AbortOnHangup makes a hang-up of the peer interrupt partner. It returns false if the
// peer has already hung up.
func (h *Hangup) AbortOnHangup(partner *Partner) bool {
	h.partner.Store(partner)
	return !h.gone.Load()
}

// KeepOnHangup undoes AbortOnHangup. It returns false if partner was or is being
// interrupted, and must not be used again.
func (h *Hangup) KeepOnHangup(partner *Partner) bool {
	return h.partner.CompareAndSwap(partner, nil)
}

// HungUp records that the peer has hung up, and interrupts the Partner.
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
