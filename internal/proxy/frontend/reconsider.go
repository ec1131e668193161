package frontend

import "time"

// leaveStep is how often the connections that are to leave are looked at.
const leaveStep = 20 * time.Millisecond

// Reconsider has the clients leave that would not be let in now. Idle connections are
// closed at once, the others when their exchange has ended, or when LeaveWait has
// passed.
func (s *Server) Reconsider() {
	leaving := map[*conn]bool{}
	s.each(func(c *conn) {
		if in := c.admitted.Load(); in != nil && !c.listener.policy().Admit(in).Allowed() {
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
