package route

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy/policy"
)

// block holds the compiled rules of one dialect for one host, grouped by how their
// paths are looked up. In a block by specificity the groups are tried in order; in a
// first-match block the earliest matching rule of all groups is chosen.
type block[T any] struct {
	view       View
	firstMatch bool
	exact      map[string]entry[T]
	// expressions are tried in order.
	expressions []expression[T]
	// prefix has the prefixes that match by whole elements, and depths a bit for each
	// number of slashes that occurs in one.
	prefix map[string]entry[T]
	depths uint64
	// raw has the prefixes that match by bytes, and lengths their lengths, longest
	// first.
	raw     map[string]entry[T]
	lengths []int
	any     entry[T]
}

// entry is one rule, linked to the later rules for the same path. It is small and
// stored by value in the tables, so that a rule without a condition is found with one
// look-up.
type entry[T any] struct {
	rule T
	// index is one more than the index of the rule in its block; 0 is no rule.
	index int32
	only  *conditional[T] // nil: the rule has no condition
}

// conditional is the condition of an entry, and the next entry for the same path.
type conditional[T any] struct {
	when policy.Condition
	next entry[T]
}

// expression is a rule whose path is matched by a regular expression.
type expression[T any] struct {
	re    *regexp.Regexp
	entry entry[T]
}

func (b *block[T]) add(r *model.Rule, index int, kept T, seen policy.Conditions) error {
	when, err := seen.Compile(r.When)
	if err != nil {
		return err
	}
	e := entry[T]{rule: kept, index: int32(index) + 1}
	if !when.Always() {
		e.only = &conditional[T]{when: when}
	}
	switch r.Path.Kind {
	case model.ExactPath:
		appendTo(&b.exact, r.Path.Value, e)
	case model.RegexPath:
		re, err := regexp.Compile(r.Path.Value)
		b.expressions = append(b.expressions, expression[T]{re, e})
		return err
	case model.PrefixPath:
		return b.addPrefix(strings.TrimSuffix(r.Path.Value, "/"), e)
	case model.RawPrefixPath:
		b.addRaw(r.Path.Value, e)
	default:
		b.any = b.any.append(e)
	}
	return nil
}

func (b *block[T]) addPrefix(prefix string, e entry[T]) error {
	depth := strings.Count(prefix, "/")
	if depth > model.MaxPathDepth {
		return fmt.Errorf("a prefix of %d elements, more than %d", depth, model.MaxPathDepth)
	}
	appendTo(&b.prefix, prefix, e)
	b.depths |= 1 << depth
	return nil
}

func (b *block[T]) addRaw(prefix string, e entry[T]) {
	appendTo(&b.raw, prefix, e)
	at, has := slices.BinarySearchFunc(b.lengths, len(prefix), func(a, b int) int { return b - a })
	if !has {
		b.lengths = slices.Insert(b.lengths, at, len(prefix))
	}
}

func appendTo[T any](m *map[string]entry[T], path string, e entry[T]) {
	if *m == nil {
		*m = map[string]entry[T]{}
	}
	(*m)[path] = (*m)[path].append(e)
}

// append appends another entry to the list, unless that can never be reached.
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

// first returns the first entry whose condition holds. Its index is 0 if none does.
func (e entry[T]) first(r *policy.Request) entry[T] {
	for e.only != nil && !e.only.when.Holds(r) {
		e = e.only.next
	}
	return e
}

// earlier returns the first entry of others whose condition holds if it comes before e,
// and otherwise e.
func (e entry[T]) earlier(others entry[T], r *policy.Request) entry[T] {
	for others.index > 0 && (e.index == 0 || others.index < e.index) {
		if others.only == nil || others.only.when.Holds(r) {
			return others
		}
		others = others.only.next
	}
	return e
}

// match returns the entry for a path. Its index is 0 if there is none.
func (b *block[T]) match(path []byte, r *policy.Request) entry[T] {
	if b.firstMatch {
		return b.earliest(path, r)
	}
	if b.exact != nil {
		if e := b.exact[string(path)].first(r); e.index > 0 {
			return e
		}
	}
	for i := range b.expressions {
		if x := &b.expressions[i]; x.re.Match(path) {
			if e := x.entry.first(r); e.index > 0 {
				return e
			}
		}
	}
	if e := b.longest(path, r); e.index > 0 {
		return e
	}
	return b.any.first(r)
}

// longest returns the entry of the longest prefix. If two have the same length, the one
// that matches by whole elements comes first.
func (b *block[T]) longest(path []byte, r *policy.Request) entry[T] {
	e, length := b.longestPrefix(path, r)
	for _, n := range b.lengths {
		if e.index > 0 && n <= length {
			break
		}
		if n <= len(path) {
			if raw := b.raw[string(path[:n])].first(r); raw.index > 0 {
				return raw
			}
		}
	}
	return e
}

// longestPrefix probes the prefixes of path that end before a slash or at its end,
// longest first, at the depths that occur. It returns the length of the prefix that it
// found; the root has length 1.
func (b *block[T]) longestPrefix(path []byte, r *policy.Request) (e entry[T], length int) {
	if b.depths == 0 || len(path) == 0 || path[0] != '/' {
		return e, 0
	}
	end := len(path)
	for depth := bytes.Count(path, slash); depth > 0; depth-- {
		if depth <= model.MaxPathDepth && b.depths&(1<<depth) != 0 {
			if e = b.prefix[string(path[:end])].first(r); e.index > 0 {
				return e, end
			}
		}
		end = bytes.LastIndexByte(path[:end], '/')
	}
	return b.prefix[""].first(r), 1
}

// earliest returns the entry of the first matching rule in all groups. In each group it
// stops at the best rule so far.
func (b *block[T]) earliest(path []byte, r *policy.Request) (e entry[T]) {
	if b.exact != nil {
		e = e.earlier(b.exact[string(path)], r)
	}
	e = e.earlier(b.any, r)
	e = b.earlierPrefix(e, path, r)
	for _, n := range b.lengths {
		if n <= len(path) {
			e = e.earlier(b.raw[string(path[:n])], r)
		}
	}
	for i := range b.expressions {
		x := &b.expressions[i]
		if e.index > 0 && x.entry.index > e.index {
			break
		}
		if x.re.Match(path) {
			e = e.earlier(x.entry, r)
		}
	}
	return e
}

func (b *block[T]) earlierPrefix(e entry[T], path []byte, r *policy.Request) entry[T] {
	if b.depths == 0 || len(path) == 0 || path[0] != '/' {
		return e
	}
	end := len(path)
	for depth := bytes.Count(path, slash); depth > 0; depth-- {
		if depth <= model.MaxPathDepth && b.depths&(1<<depth) != 0 {
			e = e.earlier(b.prefix[string(path[:end])], r)
		}
		end = bytes.LastIndexByte(path[:end], '/')
	}
	return e.earlier(b.prefix[""], r)
}

var slash = []byte("/")

// matcher returns a function that evaluates one path match alone, for traces.
func matcher(p model.PathMatch) (func([]byte) bool, error) {
	switch p.Kind {
	case model.AnyPath:
		return func([]byte) bool { return true }, nil
	case model.ExactPath:
		return func(path []byte) bool { return string(path) == p.Value }, nil
	case model.PrefixPath:
		prefix := strings.TrimSuffix(p.Value, "/")
		return func(path []byte) bool { return hasPathPrefix(path, prefix) }, nil
	case model.RawPrefixPath:
		return func(path []byte) bool { return bytes.HasPrefix(path, []byte(p.Value)) }, nil
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
