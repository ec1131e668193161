package translate

import (
	"slices"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/translate/fragment"
)

// place is a host name on a listener. One dialect comes first there.
type place struct {
	listener model.ListenerID
	name     string
}

// merging is the state of the merge of hosts and L4 routes.
type merging struct {
	*builder
	// hosts holds the host at each place.
	hosts map[place]*standing
	// l4 holds the L4 routes, and rules the first rules of hosts, by place and with the
	// number of their Fragment.
	l4, rules map[place]claim
	named     []map[place]bool // the places of each Fragment's hosts
	order     []*standing
	out       []model.L4Route
}

// standing is a host at one place.
type standing struct {
	place
	fragment int
	host     model.Host
	// of is the Fragment's host that it was made from, while nothing was added to it:
	// such hosts are joined again if they are on several listeners.
	of *fragment.Host
}

// claim says who has a place.
type claim struct {
	fragment int
	rule     string
}

// routes merges the hosts and the L4 routes. At one place the block of an earlier dialect
// comes before that of a later one; an L4 route takes the place from all that come later.
func (b *builder) routes() ([]model.Host, []model.L4Route) {
	m := &merging{builder: b, hosts: map[place]*standing{}, l4: map[place]claim{}, rules: map[place]claim{}}
	for i := range b.fragments {
		m.named = append(m.named, b.fragments[i].places())
		m.addL4(i)
		m.addHosts(i)
	}
	for i := range m.order {
		m.fallBack(m.order[i])
	}
	return m.gather(), m.out
}

// addL4 adds the L4 routes of a Fragment.
func (m *merging) addL4(i int) {
	for _, r := range m.fragments[i].L4 {
		at := place{r.Listener, r.Name}
		if first := m.firstAt(at, i); first != "" {
			m.overlap(first, r.ID, at)
			continue
		}
		m.l4[at] = claim{i, r.ID}
		m.out = append(m.out, r)
	}
}

// firstAt returns the rule that an earlier Fragment has at a place, or "".
func (m *merging) firstAt(at place, i int) string {
	for _, has := range []map[place]claim{m.l4, m.rules} {
		if c, taken := has[at]; taken && c.fragment < i {
			return c.rule
		}
	}
	return ""
}

// overlap reports that a later dialect asks for what an earlier one has.
func (m *merging) overlap(first, second string, at place) {
	m.report(reason.HostShared, m.origins[second], "host %s on port %d belongs to %s first, %s",
		at.name, at.listener.Port, m.origins[first].Object(), m.origins[first].Place())
}

// addHosts adds the hosts of a Fragment.
func (m *merging) addHosts(i int) {
	f := &m.fragments[i]
	own := map[place]bool{}
	for _, r := range f.L4 {
		own[place{r.Listener, r.Name}] = true
	}
	for k := range f.Hosts {
		h := &f.Hosts[k]
		for _, id := range h.Listeners {
			if at := (place{id, h.Name}); m.hosts[at] != nil {
				m.join(m.hosts[at], h, i)
			} else if !own[at] {
				m.stand(at, h, i)
			}
		}
	}
}

// stand puts a host at a place that is free.
func (m *merging) stand(at place, h *fragment.Host, i int) {
	s := &standing{place: at, fragment: i, of: h, host: model.Host{Name: h.Name, Listeners: []model.ListenerID{at.listener}, Fallback: h.Fallback}}
	if h.Block != nil {
		s.host.Blocks = []model.Block{*h.Block}
		m.claimRules(at, h, i)
	}
	m.hosts[at] = s
	m.order = append(m.order, s)
}

// join adds a block after those that a place already has.
func (m *merging) join(s *standing, h *fragment.Host, i int) {
	s.of = nil
	if h.Block != nil {
		s.host.Blocks = append(s.host.Blocks, *h.Block)
		m.claimRules(s.place, h, i)
	}
}

// claimRules records the first rule at a place, or reports that a place has one already.
func (m *merging) claimRules(at place, h *fragment.Host, i int) {
	if len(h.Block.Rules) == 0 {
		return
	}
	rule := h.Block.Rules[0].ID
	if first := m.firstAt(at, i); first != "" {
		m.overlap(first, rule, at)
		return
	}
	m.rules[at] = claim{i, rule}
}

// places returns the places of a Fragment's hosts.
func (f *owned) places() map[place]bool {
	out := make(map[place]bool, len(f.Hosts))
	for i := range f.Hosts {
		for _, id := range f.Hosts[i].Listeners {
			out[place{id, f.Hosts[i].Name}] = true
		}
	}
	return out
}

// fallBack passes requests that no rule of a host matches to the less specific hosts of
// later dialects, if they have any: they may still match there.
func (m *merging) fallBack(s *standing) {
	wider := hostsFor(s.name)[1:]
	for _, named := range m.named[s.fragment+1:] {
		s.host.Fallback = s.host.Fallback || slices.ContainsFunc(wider, func(host string) bool {
			return host != s.name && named[place{s.listener, host}]
		})
	}
}

// gather joins the hosts that are the same on several listeners.
func (m *merging) gather() []model.Host {
	var out []model.Host
	at := map[*fragment.Host]int{}
	for _, s := range m.order {
		if k, known := at[s.of]; known && s.of != nil && out[k].Fallback == s.host.Fallback {
			out[k].Listeners = append(out[k].Listeners, s.listener)
			continue
		}
		if s.of != nil {
			at[s.of] = len(out)
		}
		out = append(out, s.host)
	}
	return out
}
