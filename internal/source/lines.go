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

// LineBuilder collects the lines of one object. A path that is added twice keeps its
// first line.
type LineBuilder struct{ entries []lineEntry }

type lineEntry struct {
	path uint64
	line uint32
}

// Add notes the line of a field.
func (b *LineBuilder) Add(path PathHash, line int) {
	b.entries = append(b.entries, lineEntry{uint64(path), uint32(line)})
}

// Build returns what was added.
func (b *LineBuilder) Build() Lines {
	slices.SortStableFunc(b.entries, func(x, y lineEntry) int { return cmp.Compare(x.path, y.path) })
	entries := slices.CompactFunc(b.entries, func(x, y lineEntry) bool { return x.path == y.path })
	out := Lines{paths: make([]uint64, len(entries)), lines: make([]uint32, len(entries))}
	for i, e := range entries {
		out.paths[i], out.lines[i] = e.path, e.line
	}
	return out
}

// Clamp keeps all lines at or before the last one of the text.
func (l Lines) Clamp(last int) {
	for i := range l.lines {
		l.lines[i] = min(l.lines[i], uint32(last))
	}
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

// PathHash is the hash of a field path such as spec.rules[0].host: FNV-1a, 64 bits. A
// child's path is hashed without its parent's.
type PathHash uint64

// RootPath is the hash of the empty path.
const RootPath PathHash = 14695981039346656037

// On continues a hash.
func (h PathHash) On(text string) PathHash {
	for i := range len(text) {
		h = (h ^ PathHash(text[i])) * 1099511628211
	}
	return h
}

func hashPath(path string) uint64 { return uint64(RootPath.On(path)) }
