package route

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"

	"windrose.dev/windrose/internal/model"
)

// Table finds the rule for a request. T is what the caller keeps of a rule. A
// Table is read-only and may be shared.
type Table[T any] struct {
	listeners map[model.ListenerID]*hosts[T]
}

// hosts are the virtual hosts of one listener.
type hosts[T any] struct {
	exact    map[string]*Host[T]
	wildcard map[string]*Host[T] // keyed by the name behind "*"
	any      *Host[T]
}

// Host is a compiled virtual host. It is read-only, and may be in many Tables.
type Host[T any] struct{ blocks []block[T] }

type block[T any] struct {
	view   View
	exact  map[string]T
	prefix map[string]T
	// depths has a bit for each number of slashes that a prefix has.
	depths   uint64
	any      T
	hasAny   bool
	patterns []pattern[T]
}

type pattern[T any] struct {
	match func(path []byte) bool
	rule  T
}

// NewTable builds a Table of hosts, whose compiled forms are in compiled at the
// same place.
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
		hs = &hosts[T]{exact: map[string]*Host[T]{}, wildcard: map[string]*Host[T]{}}
		t.listeners[id] = hs
	}
	switch {
	case name == "*":
		hs.any = compiled
	case strings.HasPrefix(name, "*"):
		hs.wildcard[name[1:]] = compiled
	default:
		hs.exact[name] = compiled
	}
}

// Compile compiles one virtual host. keep is called once for each rule, in the
// order of the model. An error means that the host was not valid (see
// model.Validate).
func Compile[T any](h *model.Host, keep func(*model.Rule) (T, error)) (*Host[T], error) {
	out := &Host[T]{blocks: make([]block[T], len(h.Blocks))}
	for i := range h.Blocks {
		b := &out.blocks[i]
		b.view = View{Decode: h.Blocks[i].DecodeReserved, Merge: h.Blocks[i].MergeSlashes}
		rules := h.Blocks[i].Rules
		for j := range rules {
			kept, err := keep(&rules[j])
			if err != nil {
				return nil, fmt.Errorf("host %s: %w", h.Name, err)
			}
			if err := b.add(&rules[j], kept, h.Blocks[i].Order); err != nil {
				return nil, fmt.Errorf("host %s: rule %s: %w", h.Name, rules[j].ID, err)
			}
		}
	}
	return out, nil
}

func (b *block[T]) add(r *model.Rule, kept T, order model.Order) error {
	if order == model.FirstMatch {
		match, err := matcher(r.Path)
		b.patterns = append(b.patterns, pattern[T]{match, kept})
		return err
	}
	switch r.Path.Kind {
	case model.ExactPath:
		setFirst(&b.exact, r.Path.Value, kept)
	case model.PrefixPath:
		prefix := strings.TrimSuffix(r.Path.Value, "/")
		depth := strings.Count(prefix, "/")
		if depth > model.MaxPathDepth {
			return fmt.Errorf("a prefix of %d elements, more than %d", depth, model.MaxPathDepth)
		}
		setFirst(&b.prefix, prefix, kept)
		b.depths |= 1 << depth
	case model.AnyPath:
		if !b.hasAny {
			b.any, b.hasAny = kept, true
		}
	default:
		return fmt.Errorf("path kind %d does not go by specificity", r.Path.Kind)
	}
	return nil
}

// setFirst keeps the first of two rules for one path, as the model lists them.
func setFirst[T any](m *map[string]T, key string, value T) {
	if *m == nil {
		*m = map[string]T{}
	}
	if _, taken := (*m)[key]; !taken {
		(*m)[key] = value
	}
}

func matcher(p model.PathMatch) (func([]byte) bool, error) {
	switch p.Kind {
	case model.AnyPath:
		return func([]byte) bool { return true }, nil
	case model.ExactPath:
		return func(path []byte) bool { return string(path) == p.Value }, nil
	case model.PrefixPath:
		prefix := strings.TrimSuffix(p.Value, "/")
		return func(path []byte) bool { return hasPathPrefix(path, prefix) }, nil
	}
	re, err := regexp.Compile(p.Value)
	if err != nil {
		return nil, err
	}
	return re.Match, nil
}

func hasPathPrefix(path []byte, prefix string) bool {
	return len(path) >= len(prefix) && string(path[:len(prefix)]) == prefix &&
		(len(path) == len(prefix) || path[len(prefix)] == '/')
}

// HasPrefix tells whether path lies at or below prefix, by whole elements.
func HasPrefix(path []byte, prefix string) bool {
	return hasPathPrefix(path, strings.TrimSuffix(prefix, "/"))
}

// Match finds the rule for a listener, a host name as http1.HostName gives it,
// and a canonical path. scratch is for a path with runs of slashes; it is
// returned, perhaps grown.
func (t *Table[T]) Match(id model.ListenerID, name, path, scratch []byte) (rule T, found bool, grown []byte) {
	h := t.host(id, name)
	if h == nil {
		return rule, false, scratch
	}
	for i := range h.blocks {
		b := &h.blocks[i]
		var seen []byte
		seen, scratch = b.view.Of(path, scratch)
		if rule, found = b.match(seen); found {
			return rule, true, scratch
		}
	}
	return rule, false, scratch
}

// host finds the virtual host: the name itself, then the wildcard of its
// parent, then any.
func (t *Table[T]) host(id model.ListenerID, name []byte) *Host[T] {
	hs := t.listeners[id]
	if hs == nil {
		return nil
	}
	if h := hs.exact[string(name)]; h != nil {
		return h
	}
	if i := bytes.IndexByte(name, '.'); i > 0 && len(hs.wildcard) > 0 {
		if h := hs.wildcard[string(name[i:])]; h != nil {
			return h
		}
	}
	return hs.any
}

func (b *block[T]) match(path []byte) (rule T, found bool) {
	if len(b.patterns) > 0 {
		return b.firstMatch(path)
	}
	if rule, found = b.exact[string(path)]; found {
		return rule, true
	}
	if rule, found = b.longestPrefix(path); found {
		return rule, true
	}
	return b.any, b.hasAny
}

func (b *block[T]) firstMatch(path []byte) (rule T, found bool) {
	for i := range b.patterns {
		if b.patterns[i].match(path) {
			return b.patterns[i].rule, true
		}
	}
	return rule, false
}

// longestPrefix probes the prefixes of path that end before a slash or at its
// end, longest first, at the depths that occur.
func (b *block[T]) longestPrefix(path []byte) (rule T, found bool) {
	if b.depths == 0 || len(path) == 0 || path[0] != '/' {
		return rule, false
	}
	end := len(path)
	for depth := bytes.Count(path, slash); depth > 0; depth-- {
		if depth <= model.MaxPathDepth && b.depths&(1<<depth) != 0 {
			if rule, found = b.prefix[string(path[:end])]; found {
				return rule, true
			}
		}
		end = bytes.LastIndexByte(path[:end], '/')
	}
	rule, found = b.prefix[""]
	return rule, found
}

var slash = []byte("/")
