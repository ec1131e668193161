package exchange

import "windrose.dev/windrose/internal/model"

// namesOf gathers the hosts that listeners tell apart over TLS.
func namesOf(s *model.Snapshot) map[model.ListenerID]map[string]bool {
	out := map[model.ListenerID]map[string]bool{}
	for _, l := range s.Config.Listeners {
		if len(l.Names) < 2 {
			continue // there is nothing to mistake
		}
		out[l.ID] = make(map[string]bool, len(l.Names))
		for _, name := range l.Names {
			out[l.ID][name] = true
		}
	}
	return out
}

// misdirects reports whether a host belongs to another listener than the server
// name of the connection, of those that share the port (Gateway API,
// Listener.hostname), or to an L4 route: clients come here for it when a certificate of
// ours covers it, too. A host of none of them is not misdirected: it has no route
// either.
func (g *Generation) misdirects(p *Peer, host []byte) bool {
	if string(host) == p.ServerName {
		return false
	}
	if l4Routes := g.l4Routes[p.Listener]; l4Routes != nil {
		if l4Route, _ := l4Routes.Match(string(host)); l4Route != nil {
			return true
		}
	}
	names := g.names[p.Listener]
	if names == nil {
		return false
	}
	wanted := mostSpecific(names, string(host))
	return wanted != "" && wanted != mostSpecific(names, p.ServerName)
}

// mostSpecific is the first of the names that stand for a host; empty is none.
func mostSpecific(names map[string]bool, host string) string {
	for _, pattern := range patternsOf(host) {
		if names[pattern] {
			return pattern
		}
	}
	return ""
}
