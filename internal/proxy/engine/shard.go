package engine

import "windrose.dev/windrose/internal/proxy/sock"

// Shard is a part of an Engine.
type Shard struct {
	// Index is that of the shard in counters, logs and idle lists.
	Index int
	// Pool gives the shard's connections their buffers, and accounts for them.
	Pool sock.Pool

	most int64
}

// Full reports whether the shard's exchanges hold more than their part of the memory
// for buffers: new work is refused.
func (s *Shard) Full() bool { return s.Pool.Out() > s.most }

// FarBeyond reports whether they hold twice as much: work that is under way is given
// up where it would take more.
func (s *Shard) FarBeyond() bool { return s.Pool.Out() > 2*s.most }
