package frontend

import (
	"time"

	"windrose.dev/windrose/internal/model"
)

// leaveStep is how often the connections that are to leave are looked at.
const leaveStep = 20 * time.Millisecond

// Reconsider has the clients leave that were let in under another TLS than next has:
// who was let in under one policy shakes hands anew under the next, and who came in
// plain text comes over TLS. Idle connections are closed at once, the others when their
// exchange has ended, or when LeaveWait has passed.
func (s *Server) Reconsider(next map[model.ListenerID]*ListenerTLS) {
	leaving := map[*conn]bool{}
	s.each(func(c *conn) {
		if t := c.admitted.Load(); t != nil && t.outdated(next[c.listener.ID]) {
			leaving[c] = true
			if c.quic != nil {
				c.quic.Leave(true)
			}
		}
	})
	if len(leaving) > 0 && !s.close(leaving, false) {
		s.Engine.Go(func() { s.awaitLeaving(leaving) })
	}
}

// awaitLeaving waits until connections have ended, and closes them when they take too
// long.
func (s *Server) awaitLeaving(leaving map[*conn]bool) {
	tick := time.NewTicker(leaveStep)
	defer tick.Stop()
	late := time.NewTimer(s.LeaveWait)
	defer late.Stop()
	for {
		select {
		case <-tick.C:
			if s.close(leaving, false) {
				return
			}
		case <-late.C:
			s.close(leaving, true)
			return
		case <-s.Engine.Stopped(): // the drain of the proxy ends them
			return
		}
	}
}

// close closes those of the connections that wait for a request, or all, and reports
// whether that leaves none.
func (s *Server) close(leaving map[*conn]bool, all bool) bool {
	left := false
	s.each(func(c *conn) {
		if !leaving[c] {
			return
		}
		if conn := c.mux.Load(); conn != nil && !all {
			conn.Leave(true) // what is under way ends as it was let in
			left = true
			return
		}
		if phase := c.phase.Load(); all || phase == idle || phase == fresh {
			c.abort()
			return
		}
		left = true
	})
	return !left
}
