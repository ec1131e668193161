package source

import (
	"slices"
	"strings"
)

// Lines knows the line of every field that was written in one document. It
// keeps 12 bytes a field: the paths themselves are not needed to look one up.
type Lines struct {
	paths []uint64 // hashes of field paths, sorted
	lines []uint32 // the line of paths[i]
}

// lineBuilder collects the lines of one document.
type lineBuilder struct{ entries []lineEntry }

type lineEntry struct {
	path uint64
	line uint32
}

func (b *lineBuilder) add(path string, line int) {
	b.entries = append(b.entries, lineEntry{hashPath(path), uint32(line)})
}

func (b *lineBuilder) build() Lines {
	slices.SortStableFunc(b.entries, func(x, y lineEntry) int {
		switch {
		case x.path < y.path:
			return -1
		case x.path > y.path:
			return 1
		}
		return 0
	})
	out := Lines{make([]uint64, len(b.entries)), make([]uint32, len(b.entries))}
	for i, e := range b.entries {
		out.paths[i], out.lines[i] = e.path, e.line
	}
	return out
}

// Of returns the line of a field path, or of its nearest written parent, or 0.
func (l Lines) Of(path string) int {
	for path != "" {
		if i, found := slices.BinarySearch(l.paths, hashPath(path)); found {
			return int(l.lines[i])
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	return 0
}

// hashPath is FNV-1a, 64 bits.
func hashPath(path string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(path) {
		h = (h ^ uint64(path[i])) * 1099511628211
	}
	return h
}
