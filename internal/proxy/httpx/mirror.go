package httpx

import (
	"time"

	"windrose.dev/windrose/internal/proxy/engine"
)

const (
	// mirrorTime bounds a copy and its answer.
	mirrorTime = 15 * time.Second
	// mirrorAnswer bounds what is read of an answer that nobody wants, in bytes.
	mirrorAnswer = 1 << 20
)

// mirror sends a copy of a request, and drops the answer. Nobody waits for it: where
// there is no room, for all mirrors together and for one service, so that a slow one
// leaves room for others, the copy is dropped.
func (s *Server) mirror(shard *engine.Shard, q *Question) {
	most, service := int64(s.Engine.Limits.Mirrors), q.Cluster.Service
	all, here := s.mirroring.Add(1), service.Mirroring.Add(1)
	end := func() {
		s.mirroring.Add(-1)
		service.Mirroring.Add(-1)
	}
	if all > most || here > (most+1)/2 {
		end()
		q.Cluster.Stats.MirrorsDropped.Add(1)
		return
	}
	go func() {
		defer func() {
			if broken := recover(); broken != nil {
				s.Engine.Panicked(broken)
			}
			end()
		}()
		counter := &q.Cluster.Stats.MirrorsFailed
		if _, err := s.Ask(shard, q); err == nil {
			counter = &q.Cluster.Stats.Mirrored
		}
		counter.Add(1)
	}()
}
