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

// block holds the compiled rules of one dialect for one host, by what their paths can be
// found by. In a block by specificity the groups come one after the other; in a
// first-match block the earliest rule of all groups counts.
type block[T any] struct {
	view       View
	firstMatch bool
	exact      map[string]entry[T]
	// expressions are tried one after the other.
	expressions []expression[T]
	// prefix has prefixes by whole elements, and depths a bit for each number of
	// slashes that one has.
	prefix map[string]entry[T]
	depths uint64
	// raw has prefixes by bytes, and lengths theirs, the longest first.
	raw     map[string]entry[T]
	lengths []int
	any     entry[T]
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
func (e entry[T]) first(r *policy.Request) entry[T] {
	for e.only != nil && !e.only.when.Holds(r) {
		e = e.only.next
	}
	return e
}

// earlier is the first entry of others whose condition holds and that comes before e, or
// e if there is none.
func (e entry[T]) earlier(others entry[T], r *policy.Request) entry[T] {
	for others.index > 0 && (e.index == 0 || others.index < e.index) {
		if others.only == nil || others.only.when.Holds(r) {
			return others
		}
		others = others.only.next
	}
	return e
}

// match finds the entry for a path; its index is 0 if there is none.
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

// longest finds the entry of the longest prefix. Of two of one length the one by whole
// elements comes first.
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
// longest first, at the depths that occur. It returns the length of the one that it
// found, of which the root has 1.
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

// earliest finds the entry of the rule that comes first, whatever its path is found by.
// It looks at a group no further than the best rule so far.
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

// matcher tells of one path match alone whether a path is matched, for those who explain.
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
