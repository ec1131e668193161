package source

import (
	"cmp"
	"slices"
	"strings"
)

// Lines knows the line of every field that was written in one document. It
// keeps 12 bytes a field: the paths themselves are not needed to look one up.
type Lines struct {
	paths []uint64 // hashes of field paths, sorted
	lines []uint32 // the line of paths[i], from 1 at the document's first
	base  int      // lines of the file before the document
}

// lineBuilder collects the lines of one object. An object that stands in the
// text twice for one path keeps the first.
type lineBuilder struct{ entries []lineEntry }

type lineEntry struct {
	path uint64
	line uint32
}

func (b *lineBuilder) add(path uint64, line int) {
	b.entries = append(b.entries, lineEntry{path, uint32(line)})
}

func (b *lineBuilder) build() Lines {
	slices.SortStableFunc(b.entries, func(x, y lineEntry) int { return cmp.Compare(x.path, y.path) })
	entries := slices.CompactFunc(b.entries, func(x, y lineEntry) bool { return x.path == y.path })
	out := Lines{paths: make([]uint64, len(entries)), lines: make([]uint32, len(entries))}
	for i, e := range entries {
		out.paths[i], out.lines[i] = e.path, e.line
	}
	return out
}

// from returns l for a document that has base lines of its file before it.
func (l Lines) from(base int) Lines {
	l.base = base
	return l
}

// Of returns the line of a field path, or of its nearest written parent, or 0.
func (l Lines) Of(path string) int {
	for path != "" {
		if i, found := slices.BinarySearch(l.paths, hashPath(path)); found {
			return l.base + int(l.lines[i])
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	return 0
}

const hashSeed = uint64(14695981039346656037)

// hashPath is FNV-1a, 64 bits.
func hashPath(path string) uint64 { return hashOn(hashSeed, path) }

// hashOn continues a hash, so that a child's path is hashed without its
// parent's.
func hashOn(h uint64, s string) uint64 {
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}
