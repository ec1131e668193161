package observe

import (
	"cmp"
	"maps"
	"slices"
	"strconv"

	"windrose.dev/windrose/internal/reason"
)

func requests(r *reading, out yield) {
	r.eachCell(func(route *Route, c *cell) {
		if c.class != layer4 {
			out(float64(c.count.Sum()), nil, route.Name, strconv.Itoa(int(c.class))+"xx", c.outcome.String())
		}
	})
}

func l4Routes(r *reading, out yield) {
	r.eachCell(func(route *Route, c *cell) {
		if c.class == layer4 {
			out(float64(c.count.Sum()), nil, route.Name, c.outcome.String())
		}
	})
}

func durations(r *reading, out yield) {
	for _, s := range append(r.servicesByName(), r.otherService) {
		if h := s.hist.Load(); h != nil {
			out(0, h, s.Name)
		}
	}
}

func handshakes(r *reading, out yield) {
	for _, l := range r.listenersByID() {
		resumed := l.Resumed.Sum()
		out(float64(l.Handshakes.Sum()-resumed), nil, l.ID.String(), "full")
		out(float64(resumed), nil, l.ID.String(), "resumed")
		out(float64(l.HandshakeErrors.Sum()), nil, l.ID.String(), "failed")
	}
}

func lookups(r *reading, out yield) {
	out(float64(r.Names.found.Load()), nil, "found")
	out(float64(r.Names.failed.Load()), nil, "failed")
	out(float64(r.Names.refused.Load()), nil, "refused")
}

func reports(r *reading, out yield) {
	type key struct {
		code     reason.Code
		severity reason.Severity
	}
	counts := map[key]int{}
	for _, report := range r.state.Reports {
		counts[key{report.Code, report.Severity}]++
	}
	for _, row := range reason.Codes() {
		for severity := reason.Info; severity <= reason.Error; severity++ {
			if n := counts[key{row.Code, severity}]; n > 0 {
				out(float64(n), nil, row.Name, severity.String())
			}
		}
	}
}

// eachCell calls do with the counts of all rules, sorted by name, and then with those of
// requests without a rule and of the rule "other".
func (r *reading) eachCell(do func(*Route, *cell)) {
	all := slices.SortedFunc(maps.Values(r.routes), func(a, b *Route) int { return cmp.Compare(a.Name, b.Name) })
	for _, route := range append(all, r.unrouted, r.other) {
		if cells := route.cells.Load(); cells != nil {
			for _, c := range *cells {
				do(route, c)
			}
		}
	}
}

func (r *reading) servicesByName() []*Service {
	return slices.SortedFunc(maps.Values(r.services), func(a, b *Service) int { return cmp.Compare(a.Name, b.Name) })
}

func (r *reading) listenersByID() []*Listener {
	return slices.SortedFunc(maps.Values(r.listens), func(a, b *Listener) int { return a.ID.Compare(b.ID) })
}

func (l *Listener) open() uint64 { closed := l.Closed.Sum(); return l.Accepted.Sum() - closed }
