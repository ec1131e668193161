package observe

import "sync/atomic"

// Names counts the lookups of host names of endpoints.
type Names struct {
	// Failing is the number of names whose last lookup failed, or gave addresses that are
	// refused.
	Failing atomic.Int64

	found, failed, refused atomic.Uint64
}

// Count counts one lookup. found means that it gave addresses, all of them usable; if
// not, refused means that some addresses were refused.
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
