package exchange

import (
	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy/policy"
	"windrose.dev/windrose/internal/reason"
)

// Access says who may open a connection to a listener; nil lets everybody.
func (g *Generation) Access(id model.ListenerID) *policy.Access { return g.access[id] }

// MayOpen says whether a connection, or a flow of UDP, that a route of layer 4 takes may
// be opened: by its listener, and by the route. Any goroutine may ask, also for one that
// has been open for long.
func (g *Generation) MayOpen(in *policy.Inbound) policy.Verdict {
	if v := g.access[in.Listener].Opens(in); !v.Allowed() {
		return v
	}
	l4Route, _ := g.l4Routes[in.Listener].Match(in.ServerName)
	return l4Route.mayOpen(in)
}

// MayAsk says whether a request may be asked that has become a tunnel, as r shows it.
// What is forwarded to several backends may be asked while one of them lets it. Any
// goroutine may ask.
func (g *Generation) MayAsk(r *policy.Request) policy.Verdict {
	if r.From == nil {
		return closedVerdict("nothing is known of the connection")
	}
	if v := g.access[r.From.Listener].Opens(r.From); !v.Allowed() {
		return v
	}
	view := r.Apart()
	rule, found := g.table.Match(r.From.Listener, &view, nil)
	if !found {
		return policy.Verdict{} // what is no longer routed may end by itself
	}
	return rule.mayAsk(&view)
}

func (r *Route) mayAsk(view *policy.Request) policy.Verdict {
	if respond := r.Rule.Respond; respond != nil && respond.Outcome == reason.Closed {
		return closedVerdict(respond.Why)
	}
	if v := firstDenial(r.guards, view); !v.Allowed() {
		return v
	}
	var denied policy.Verdict
	for i := range r.backends {
		v := firstDenial(r.backends[i].guards, view)
		if v.Allowed() {
			return v
		}
		denied = v
	}
	return denied
}

func firstDenial(guards []Guard, view *policy.Request) policy.Verdict {
	for _, guard := range guards {
		if v := guard.Asks(view); !v.Allowed() {
			return v
		}
	}
	return policy.Verdict{}
}

func closedVerdict(why string) policy.Verdict {
	return policy.Verdict{Outcome: reason.Closed, Detail: why}
}

// mayOpen says whether a route of layer 4 lets a connection in: it is not closed as a
// whole, nor are all its backends, and its own Access allows it. A nil route has
// nothing against it.
func (r *L4Route) mayOpen(in *policy.Inbound) policy.Verdict {
	switch {
	case r == nil:
		return policy.Verdict{}
	case r.closed():
		return closedVerdict("the rule is closed")
	}
	return r.access.Opens(in)
}

// listeners compiles who may open connections.
func (c *Compiler) listeners(s *model.Snapshot, g *Generation) error {
	g.access = map[model.ListenerID]*policy.Access{}
	for i := range s.Config.Listeners {
		l := &s.Config.Listeners[i]
		access, unknown, err := policy.NewAccess(l.Access)
		if err != nil {
			return err
		}
		g.reports = append(g.reports, unknownPermissions(s, unknown)...)
		if access != nil {
			g.access[l.ID] = access
		}
	}
	return nil
}

// unknownPermissions report the permissions that look at what nobody here can tell.
func unknownPermissions(s *model.Snapshot, ids []string) (reports []reason.Report) {
	for _, id := range ids {
		reports = append(reports, reason.New(reason.SnapshotUnsupported, s.Origins[id],
			"this proxy cannot tell what permission "+id+" looks at: it denies wherever that might, and allows nothing by it"))
	}
	return reports
}
