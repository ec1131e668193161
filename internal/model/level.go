package model

import (
	"fmt"
	"maps"
	"regexp"
	"slices"

	"windrose.dev/windrose/internal/reason"
)

// accessLevel is the schema level that introduced Access. endpointLevel introduced the
// fields of an Endpoint other than its address, its pod and Terminating.
const (
	accessLevel   = 3
	endpointLevel = 3
)

// pathLevels are the schema levels that introduced each kind of path.
var pathLevels = []int{AnyPath: 2, ExactPath: 2, PrefixPath: 2, RegexPath: 2, RawPrefixPath: 3}

func (s *Snapshot) schema() int {
	if s.level == 0 {
		return Schema
	}
	return s.level
}

// For returns s for a program that reads an older schema level, from OldestSchema on.
// What that level cannot express is closed: a rule responds 503 wherever it might match,
// an L4 route refuses its connections, and a listener with an Access is not opened. The
// Reports name each of them. Fields that only spread the load differently, such as the
// weight of an endpoint, are left out without a Report.
func (s *Snapshot) For(level int) (*Snapshot, []reason.Report, error) {
	switch {
	case level < OldestSchema || level > Schema:
		return nil, nil, fmt.Errorf("schema %d is not among %d to %d, which this program writes", level, OldestSchema, Schema)
	case level == Schema || s.within(level) == nil:
		out := *s
		out.level = level
		return &out, nil, nil
	}
	d := downgrade{level: level, at: map[string]string{}, shut: map[ListenerID]bool{}}
	out := Compose(FreezeConfig(d.config(&s.Config), s.Origins), d.endpoints(s.endpoints), s.secrets)
	out.level = level
	return out, d.reports(s.Origins), nil
}

// within returns an error that names the first value that needs a higher level.
func (s *Snapshot) within(level int) error {
	for i := range s.Config.Listeners {
		if l := &s.Config.Listeners[i]; l.Access.level() > level {
			return fmt.Errorf("listener %s needs schema %d, and this is %d", l.ID, l.Access.level(), level)
		}
	}
	for i := range s.Config.L4Routes {
		if r := &s.Config.L4Routes[i]; r.Access.level() > level {
			return fmt.Errorf("L4 route %s needs schema %d, and this is %d", r.ID, r.Access.level(), level)
		}
	}
	for r := range s.Config.rules {
		if needs := r.level(); needs > level {
			return fmt.Errorf("rule %s needs schema %d, and this is %d", r.ID, needs, level)
		}
	}
	if level < endpointLevel {
		return plainEndpoints(s.Endpoints)
	}
	return nil
}

func plainEndpoints(all []Endpoints) error {
	for i := range all {
		if slices.ContainsFunc(all[i].Endpoints, func(ep Endpoint) bool { return !ep.plain() }) {
			return fmt.Errorf("endpoints of %s need schema %d", all[i].Service, endpointLevel)
		}
	}
	return nil
}

// rules yields all rules of all hosts.
func (c *Config) rules(yield func(*Rule) bool) {
	for h := range c.Hosts {
		for b := range c.Hosts[h].Blocks {
			rules := c.Hosts[h].Blocks[b].Rules
			for i := range rules {
				if !yield(&rules[i]) {
					return
				}
			}
		}
	}
}

// level returns the schema level that all of a rule needs.
func (r *Rule) level() int {
	level := max(pathLevels[r.Path.Kind], r.When.levels(), r.Filters.level())
	if r.Redirect != nil {
		level = max(level, redirectKind.Level)
	}
	if r.Forward != nil {
		for i := range r.Forward.Backends {
			level = max(level, r.Forward.Backends[i].Filters.level())
		}
	}
	return level
}

func (f Filters) level() int {
	level := OldestSchema
	for _, one := range f {
		level = max(level, levelOf(one))
	}
	return level
}

func levelOf(f Filter) int {
	kind := f.Kind()
	if kind.level == nil {
		return kind.Level
	}
	return max(kind.Level, kind.level(f))
}

func (a *Access) level() int {
	if a == nil {
		return OldestSchema
	}
	level := accessLevel
	for _, list := range [][]Permission{a.Deny, a.Allow} {
		for i := range list {
			level = max(level, list[i].When.levels())
		}
	}
	return level
}

// plain reports whether an endpoint uses no field that endpointLevel introduced.
func (ep *Endpoint) plain() bool {
	return ep.Protocols == 0 && ep.Weight == 0 && ep.Locality == "" && ep.Identity == "" && ep.Labels == nil
}

// downgrade makes the parts of a Snapshot for an older level. It copies what it changes.
type downgrade struct {
	level int
	// at holds, by name, what was changed at rules, L4 routes and listeners.
	at map[string]string
	// shut holds the listeners that are left out.
	shut map[ListenerID]bool
}

func (d *downgrade) config(c *Config) Config {
	out := Config{Services: c.Services}
	for _, l := range c.Listeners {
		if needs := l.Access.level(); needs > d.level {
			d.shut[l.ID] = true
			d.at["listener "+l.ID.String()] = d.why("asks who may connect", needs) + ", where it is not opened"
			continue
		}
		out.Listeners = append(out.Listeners, l)
	}
	for _, r := range c.L4Routes {
		if !d.shut[r.Listener] {
			out.L4Routes = append(out.L4Routes, d.l4Route(r))
		}
	}
	for _, h := range c.Hosts {
		h.Listeners = slices.DeleteFunc(slices.Clone(h.Listeners), func(id ListenerID) bool { return d.shut[id] })
		if len(h.Listeners) > 0 {
			h.Blocks = d.blocks(h.Blocks)
			out.Hosts = append(out.Hosts, h)
		}
	}
	return out
}

func (d *downgrade) why(does string, needs int) string {
	return fmt.Sprintf("it %s: that needs schema %d, and the proxy speaks %d", does, needs, d.level)
}

func (d *downgrade) l4Route(r L4Route) L4Route {
	needs := r.Access.level()
	if needs <= d.level {
		return r
	}
	why := d.why("asks who may connect", needs)
	d.at[r.ID] = why + ", where it refuses all"
	r.Access, r.Backends = nil, nil
	r.Respond = &Respond{Status: 503, Outcome: reason.Closed, Why: why}
	return r
}

func (d *downgrade) blocks(all []Block) []Block {
	out := slices.Clone(all)
	for i := range out {
		b := &out[i]
		if slices.ContainsFunc(b.Rules, func(r Rule) bool { return r.level() > d.level }) {
			b.Rules = slices.Clone(b.Rules)
			for k := range b.Rules {
				b.Rules[k] = d.rule(b.Rules[k])
			}
		}
	}
	return out
}

// rule returns a rule for the level. Optional filters that the level lacks are left out;
// anything else that it lacks closes the rule.
func (d *downgrade) rule(r Rule) Rule {
	if needs := r.level(); needs > d.level {
		r = d.withoutOptional(r)
	}
	needs := r.level()
	if needs <= d.level {
		return r
	}
	why := d.why("says more than the proxy understands", needs)
	d.at[r.ID] = why + ", where it answers 503"
	known := func(p *Predicate) bool { return p.level() <= d.level }
	return Rule{
		ID: r.ID, Path: d.path(r.Path), When: r.When.Widest(known), Rank: r.Rank,
		Respond: &Respond{Status: 503, Outcome: reason.Closed, Why: why},
	}
}

// path returns a match for at least what p matches. An expression is tried before any
// prefix, so it may also close prefix rules below it, but never fewer paths than p.
func (d *downgrade) path(p PathMatch) PathMatch {
	if pathLevels[p.Kind] <= d.level {
		return p
	}
	return PathMatch{RegexPath, "^" + regexp.QuoteMeta(p.Value)}
}

func (d *downgrade) withoutOptional(r Rule) Rule {
	r.Filters = d.needed(r.ID, r.Filters)
	if r.Forward == nil {
		return r
	}
	forward := *r.Forward
	forward.Backends = slices.Clone(forward.Backends)
	for i := range forward.Backends {
		forward.Backends[i].Filters = d.needed(r.ID, forward.Backends[i].Filters)
	}
	r.Forward = &forward
	return r
}

func (d *downgrade) needed(rule string, all Filters) Filters {
	return slices.DeleteFunc(slices.Clone(all), func(f Filter) bool {
		leave := f.Kind().Optional && levelOf(f) > d.level
		if leave {
			d.at[rule] = d.why("has the filter "+f.Kind().Name, levelOf(f)) + ", where it is left out"
		}
		return leave
	})
}

func (d *downgrade) endpoints(f FrozenEndpoints) FrozenEndpoints {
	if d.level >= endpointLevel {
		return f
	}
	out := slices.Clone(f.all.items)
	for i := range out {
		plain := make([]Endpoint, len(out[i].Endpoints))
		for k, ep := range out[i].Endpoints {
			plain[k] = Endpoint{Addr: ep.Addr, Pod: ep.Pod, Terminating: ep.Terminating}
		}
		out[i].Endpoints = plain
	}
	return FreezeEndpoints(out)
}

// reports returns a Report for each change, sorted by name.
func (d *downgrade) reports(origins map[string]reason.Origin) (out []reason.Report) {
	for _, name := range slices.Sorted(maps.Keys(d.at)) {
		out = append(out, reason.New(reason.SnapshotUnsupported, origins[name], name+": "+d.at[name]))
	}
	return out
}
