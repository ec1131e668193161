package engine

import "windrose.dev/windrose/internal/proxy/sock"

// Shard is a part of an Engine: some of its connections, and their buffers.
type Shard struct {
	// Index is the index of the shard in counters, logs and idle lists.
	Index int
	// Pool gives buffers to the shard's connections, and counts their bytes.
	Pool sock.Pool

	most int64
}

// Full reports whether the shard's exchanges hold more than the shard's part of the
// buffer memory. New work is refused then.
func (s *Shard) Full() bool { return s.Pool.Out() > s.most }

// FarBeyond reports whether they hold more than twice that. Work under way is given up
// then, if it needs more memory.
func (s *Shard) FarBeyond() bool { return s.Pool.Out() > 2*s.most }
