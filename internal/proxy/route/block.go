package route

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"

	"windrose.dev/windrose/internal/model"
)

// block holds the compiled rules of one dialect for one host.
type block[T any] struct {
	view View
	// listed are tried one after the other: all rules of a first-match block,
	// and the expressions of one that goes by specificity.
	listed []listed[T]
	exact  map[string]entry[T]
	prefix map[string]entry[T]
	// depths has a bit for each number of slashes that a prefix has.
	depths uint64
	any    entry[T]
}

// entry is one rule, and those that come after it for the same path. It is
// small and stands in the tables by value, so that a rule without a condition
// is found with one look-up.
type entry[T any] struct {
	rule T
	// index is that of the rule in its block, and one more: 0 is no rule.
	index int32
	only  *conditional[T] // nil: always
}

// conditional is when an entry counts, and what comes after it.
type conditional[T any] struct {
	when []predicate // all must hold
	next entry[T]
}

// listed is a rule with a path that has to be tried.
type listed[T any] struct {
	match func(path []byte) bool
	entry entry[T]
}

func (b *block[T]) add(r *model.Rule, index int, kept T, order model.Order, seen conditions) error {
	when, err := seen.compile(r.When)
	if err != nil {
		return err
	}
	e := entry[T]{rule: kept, index: int32(index) + 1}
	if len(when) > 0 {
		e.only = &conditional[T]{when: when}
	}
	if order == model.FirstMatch || r.Path.Kind == model.RegexPath {
		match, err := matcher(r.Path)
		b.listed = append(b.listed, listed[T]{match, e})
		return err
	}
	switch r.Path.Kind {
	case model.ExactPath:
		appendTo(&b.exact, r.Path.Value, e)
	case model.PrefixPath:
		prefix := strings.TrimSuffix(r.Path.Value, "/")
		depth := strings.Count(prefix, "/")
		if depth > model.MaxPathDepth {
			return fmt.Errorf("a prefix of %d elements, more than %d", depth, model.MaxPathDepth)
		}
		appendTo(&b.prefix, prefix, e)
		b.depths |= 1 << depth
	default:
		b.any = b.any.append(e)
	}
	return nil
}

func appendTo[T any](m *map[string]entry[T], path string, e entry[T]) {
	if *m == nil {
		*m = map[string]entry[T]{}
	}
	(*m)[path] = (*m)[path].append(e)
}

// append puts another entry behind e, unless none can get that far.
func (e entry[T]) append(another entry[T]) entry[T] {
	if e.index == 0 {
		return another
	}
	for last := &e; last.only != nil; last = &last.only.next {
		if last.only.next.index == 0 {
			last.only.next = another
			break
		}
	}
	return e
}

// first is the first entry whose condition holds; its index is 0 if none does.
func (e entry[T]) first(r *Request) entry[T] {
	for e.only != nil && !allHold(e.only.when, r) {
		e = e.only.next
	}
	return e
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

// HasPrefix reports whether path lies at or below prefix, by whole elements.
func HasPrefix(path []byte, prefix string) bool {
	return hasPathPrefix(path, strings.TrimSuffix(prefix, "/"))
}

// match finds the entry for a path; its index is 0 if there is none.
func (b *block[T]) match(path []byte, r *Request) entry[T] {
	if b.exact != nil {
		if e := b.exact[string(path)].first(r); e.index > 0 {
			return e
		}
	}
	for i := range b.listed {
		if l := &b.listed[i]; l.match(path) {
			if e := l.entry.first(r); e.index > 0 {
				return e
			}
		}
	}
	if e := b.longestPrefix(path, r); e.index > 0 {
		return e
	}
	return b.any.first(r)
}

// longestPrefix probes the prefixes of path that end before a slash or at its
// end, longest first, at the depths that occur.
func (b *block[T]) longestPrefix(path []byte, r *Request) entry[T] {
	if b.depths == 0 || len(path) == 0 || path[0] != '/' {
		return entry[T]{}
	}
	end := len(path)
	for depth := bytes.Count(path, slash); depth > 0; depth-- {
		if depth <= model.MaxPathDepth && b.depths&(1<<depth) != 0 {
			if e := b.prefix[string(path[:end])].first(r); e.index > 0 {
				return e
			}
		}
		end = bytes.LastIndexByte(path[:end], '/')
	}
	return b.prefix[""].first(r)
}

var slash = []byte("/")
