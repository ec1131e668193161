package route

import (
	"bytes"
	"fmt"
	"strings"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy/policy"
)

// Table finds the rule for a request. T is what the caller stores with a rule. A Table
// is read-only and may be shared.
type Table[T any] struct {
	listeners map[model.ListenerID]*hosts[T]
}

// hosts are the virtual hosts of one listener.
type hosts[T any] struct {
	exact    map[string]*Host[T]
	wildcard map[string]wildcards[T] // keyed by the name after the wildcard
	deep     bool                    // some wildcard matches several labels
	any      *Host[T]
}

// wildcards are the wildcard hosts with the same suffix: one matches one more label,
// and many any number of labels.
type wildcards[T any] struct{ one, many *Host[T] }

// Host is a compiled virtual host. It is read-only, and may be in many Tables.
type Host[T any] struct {
	blocks   []block[T]
	fallback bool
	source   *model.Host // for traces
}

// NewTable returns a Table of hosts. compiled has the compiled form of each, at the
// same index.
func NewTable[T any](all []model.Host, compiled []*Host[T]) *Table[T] {
	t := &Table[T]{listeners: map[model.ListenerID]*hosts[T]{}}
	for i := range all {
		for _, id := range all[i].Listeners {
			t.add(id, all[i].Name, compiled[i])
		}
	}
	return t
}

func (t *Table[T]) add(id model.ListenerID, name string, compiled *Host[T]) {
	hs := t.listeners[id]
	if hs == nil {
		hs = &hosts[T]{exact: map[string]*Host[T]{}, wildcard: map[string]wildcards[T]{}}
		t.listeners[id] = hs
	}
	stars := len(name) - len(strings.TrimLeft(name, "*"))
	suffix := name[stars:]
	w := hs.wildcard[suffix]
	switch {
	case name == "*":
		hs.any = compiled
		return
	case stars == 0:
		hs.exact[name] = compiled
		return
	case stars == 1:
		w.one = compiled
	default:
		w.many, hs.deep = compiled, true
	}
	hs.wildcard[suffix] = w
}

// Compile compiles one virtual host. keep is called once for each rule, in the order of
// the model. It returns an error if the host is not valid (see model.Validate).
func Compile[T any](h *model.Host, keep func(*model.Rule) (T, error)) (*Host[T], error) {
	own := *h // a pointer into the Snapshot would keep all its hosts in memory
	out := &Host[T]{blocks: make([]block[T], len(h.Blocks)), fallback: h.Fallback, source: &own}
	seen := policy.Conditions{}
	for i := range h.Blocks {
		b := &out.blocks[i]
		b.view = View{Decode: h.Blocks[i].DecodeReserved, Merge: h.Blocks[i].MergeSlashes}
		b.firstMatch = h.Blocks[i].Order == model.FirstMatch
		rules := h.Blocks[i].Rules
		for j := range rules {
			kept, err := keep(&rules[j])
			if err != nil {
				return nil, fmt.Errorf("host %s: %w", h.Name, err)
			}
			if err := b.add(&rules[j], j, kept, seen); err != nil {
				return nil, fmt.Errorf("host %s: rule %s: %w", h.Name, rules[j].ID, err)
			}
		}
	}
	return out, nil
}

// Match finds the rule for a request that was received on a listener. trace is nil
// unless an explanation is wanted.
func (t *Table[T]) Match(id model.ListenerID, r *policy.Request, trace *Trace) (rule T, found bool) {
	hs := t.listeners[id]
	if trace != nil {
		*trace = Trace{Listener: id, Open: hs != nil}
	}
	if hs == nil {
		return rule, false
	}
	return hs.match(r, trace)
}

// match tries the hosts that match the name, the most specific first, until one
// decides.
func (hs *hosts[T]) match(r *policy.Request, trace *Trace) (rule T, found bool) {
	rule, found, done := hs.exact[string(r.Host)].try(r, trace)
	if done {
		return rule, found
	}
	if len(hs.wildcard) > 0 {
		if rule, found, done = hs.matchWildcards(r, trace); done {
			return rule, found
		}
	}
	rule, found, _ = hs.any.try(r, trace)
	return rule, found
}

// matchWildcards tries the suffixes of the name from the longest to the shortest. Only
// the longest leaves just one label for the wildcard.
func (hs *hosts[T]) matchWildcards(r *policy.Request, trace *Trace) (rule T, found, done bool) {
	at := bytes.IndexByte(r.Host, '.')
	if at <= 0 {
		return rule, false, false
	}
	w := hs.wildcard[string(r.Host[at:])]
	if rule, found, done = w.one.try(r, trace); done {
		return rule, found, done
	}
	for {
		if rule, found, done = w.many.try(r, trace); done || !hs.deep {
			return rule, found, done
		}
		next := bytes.IndexByte(r.Host[at+1:], '.')
		if next < 0 {
			return rule, false, false
		}
		at += next + 1
		w = hs.wildcard[string(r.Host[at:])]
	}
}

// try matches the rules of a host, if there is one. done reports whether the host
// decides: a miss decides too, unless the host falls back.
func (h *Host[T]) try(r *policy.Request, trace *Trace) (rule T, found, done bool) {
	if h == nil {
		return rule, false, false
	}
	if trace != nil {
		trace.begin(h.source)
	}
	for i := range h.blocks {
		b := &h.blocks[i]
		var path []byte
		path, r.Scratch = b.view.Of(r.Path, r.Scratch)
		e := b.match(path, r)
		if trace != nil {
			trace.block(&h.source.Blocks[i], path, r, int(e.index)-1)
		}
		if e.index > 0 {
			return e.rule, true, true
		}
	}
	return rule, false, !h.fallback
}
