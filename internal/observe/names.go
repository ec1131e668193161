package observe

import "sync/atomic"

// Names counts the lookups of host names that stand for endpoints.
type Names struct {
	// Failing is how many names could not be looked up at the last attempt, or led
	// to addresses that are refused.
	Failing atomic.Int64

	found, failed, refused atomic.Uint64
}

// Count counts one lookup: whether it found addresses that may be used, all of
// them, and if not whether some were refused.
func (n *Names) Count(found, refused bool) {
	switch {
	case found:
		n.found.Add(1)
	case refused:
		n.refused.Add(1)
	default:
		n.failed.Add(1)
	}
}
