package source

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"windrose.dev/windrose/internal/reason"
)

// objectKey is what one object can exist of.
type objectKey struct {
	kind *kind
	name Name
}

// claim is the object that holds a name in a Set.
type claim struct {
	object any // *Object[T]
	state  State
	origin reason.Origin
	// file is where the name is claimed, which for a Stale object need not be
	// where its text once stood.
	file string
	// nameless objects have a name that was made up for them.
	nameless bool
	guards   bool
}

// settling decides which objects make a Set: of those that were read now, by
// file and line, and of those of the Set before.
type settling struct {
	kinds      map[string]*kind
	last, next map[objectKey]*claim
	reports    []reason.Report

	// lostFiles are the files that may hold objects which could not be read,
	// with the line of the first such place, or 0.
	lostFiles map[string]int
	lostDirs  []string
	nameless  []placed
	// copies guard something that the object which has their name leaves open.
	copies  []placed
	unknown map[unknownKey]*unknownCount
}

// placed is a decoded object and where it stands.
type placed struct {
	*decoded
	file string
	base int
}

func newSettling(kinds map[string]*kind, last map[objectKey]*claim) *settling {
	return &settling{
		kinds: kinds, last: last, next: make(map[objectKey]*claim, len(last)),
		lostFiles: map[string]int{}, unknown: map[unknownKey]*unknownCount{},
	}
}

// losePath records a path that could not be listed or followed.
func (s *settling) losePath(lost lostPath) {
	s.lostDirs = append(s.lostDirs, lost.path)
	if !lost.quiet {
		s.reports = append(s.reports, reason.New(reason.Unreadable, reason.Origin{File: lost.path}, lost.err.Error()))
	}
}

// loseFile records a file that was set aside as a whole.
func (s *settling) loseFile(path string, why reason.Report) {
	s.lostFiles[path] = 0
	s.reports = append(s.reports, why)
}

// document takes what one document says. Documents come by file and line.
func (s *settling) document(at located) {
	for _, p := range at.doc.problems {
		s.reports = append(s.reports, p.report(reason.Origin{File: at.file}, at.base))
	}
	if _, before := s.lostFiles[at.file]; at.doc.lost && !before {
		s.lostFiles[at.file] = at.base + at.doc.lostLine()
	}
	for _, u := range at.doc.unknown {
		s.countUnknown(u, at)
	}
	for _, o := range at.doc.objects {
		s.object(placed{o, at.file, at.base})
	}
}

// object decides what becomes of one object. The first place of a name, by
// file and line, counts. A broken object stands for its last good version, or
// for its tombstone; only where it leaves nothing does the next place count.
// What a later place guards is closed, if the first leaves it open.
func (s *settling) object(p placed) {
	at := p.origin()
	for _, problem := range p.problems {
		s.reports = append(s.reports, problem.report(at, p.base))
	}
	if p.name.Name == "" {
		s.nameless = append(s.nameless, p)
		return
	}
	key := objectKey{p.kind, p.name}
	before := s.last[key]
	broken := len(p.problems) > 0
	if first, taken := s.next[key]; taken {
		s.duplicate(p, first, broken)
		return
	}
	switch {
	case !broken:
		s.next[key] = p.claim(Current)
	case before != nil && before.state != Tombstone:
		s.keep(key, before, p.file, at)
	case p.guards:
		s.entomb(key, p.claim(Tombstone), at, brokenGuard(p.kind))
	}
}

// duplicate deals with an object whose name is taken.
func (s *settling) duplicate(p placed, first *claim, broken bool) {
	if !broken {
		message := "the object already stands at " + first.origin.Place()
		s.reports = append(s.reports, reason.New(reason.DuplicateObject, p.origin(), message))
	}
	if p.guards && !first.guards {
		s.copies = append(s.copies, p)
	}
}

func brokenGuard(k *kind) string {
	return fmt.Sprintf("this %s guards something, is broken, and has no good version: what it guards is closed", k.name)
}

func (p placed) origin() reason.Origin {
	o := reason.Origin{File: p.file, Line: p.base + p.line}
	if p.name.Name != "" {
		o.Kind, o.Namespace, o.Name = p.kind.name, p.name.Namespace, p.name.Name
	}
	return o
}

func (p placed) claim(state State) *claim {
	at := p.origin()
	return &claim{object: p.kind.place(p.decoded, at, p.base, state), state: state, origin: at, file: p.file, guards: p.guards}
}

// keep lets the last good version of an object stay.
func (s *settling) keep(key objectKey, before *claim, file string, at reason.Origin) {
	kept := *before
	kept.file = file
	if kept.state == Current {
		kept.object, kept.state = key.kind.stale(before.object), Stale
	}
	s.next[key] = &kept
	s.reports = append(s.reports, reason.New(reason.KeptLastGood, at, "the last good version stays in force"))
}

func (s *settling) entomb(key objectKey, c *claim, at reason.Origin, message string) {
	s.next[key] = c
	s.reports = append(s.reports, reason.New(reason.Tombstone, at, message))
}

// finish keeps what lost files held before and makes the Set.
func (s *settling) finish() *Set {
	kept := s.keepLost()
	s.entombNameless(kept)
	s.entombCopies()
	for key, count := range s.unknown {
		s.reports = append(s.reports, count.report(key))
	}
	objects := map[*kind][]any{}
	for key, c := range s.next {
		objects[key.kind] = append(objects[key.kind], c.object)
	}
	set := &Set{Reports: reason.Sorted(s.reports)}
	for _, k := range s.kinds {
		k.install(set, objects[k])
	}
	return set
}

// fileKind is one kind within one file.
type fileKind struct {
	file string
	kind *kind
}

// keepLost keeps the objects that are missing now, and whose file may only be
// broken. It returns of which kinds it kept something.
func (s *settling) keepLost() map[fileKind]bool {
	renamed := map[fileKind]bool{}
	for _, p := range slices.Concat(s.nameless, s.copies) {
		renamed[fileKind{p.file, p.kind}] = true
	}
	kept := map[fileKind]bool{}
	for key, before := range s.last {
		line, lost := s.isLost(before.file)
		if _, there := s.next[key]; there || !lost {
			continue
		}
		at := before.origin
		at.File, at.Line = before.file, line
		in := fileKind{before.file, key.kind}
		switch {
		case before.nameless && renamed[in]:
			continue // it has a new tombstone
		case before.state == Tombstone:
			s.entomb(key, before, at, brokenGuard(key.kind))
		default:
			s.keep(key, before, before.file, at)
			kept[in] = true
		}
	}
	return kept
}

func (s *settling) isLost(file string) (line int, lost bool) {
	if line, lost = s.lostFiles[file]; lost {
		return line, true
	}
	return 0, slices.ContainsFunc(s.lostDirs, func(dir string) bool {
		return file == dir || dir == "." && !filepath.IsAbs(file) || strings.HasPrefix(file, strings.TrimSuffix(dir, "/")+"/")
	})
}

// entombNameless leaves tombstones for guarding objects whose names cannot be
// read. Where the file's last good objects of that kind stay, the object is one
// of those.
func (s *settling) entombNameless(kept map[fileKind]bool) {
	for _, p := range s.nameless {
		if p.guards && !kept[fileKind{p.file, p.kind}] {
			s.entombPlace(p, p.origin(), brokenGuard(p.kind))
		}
	}
}

// entombCopies leaves tombstones for what only later copies of an object guard.
func (s *settling) entombCopies() {
	for _, p := range s.copies {
		at := p.origin()
		first := s.next[objectKey{p.kind, p.name}]
		message := fmt.Sprintf("this copy of the %s guards something, and the one at %s does not: what this one guards is closed", p.kind.name, first.origin.Place())
		s.entombPlace(p, at, message)
		s.reports[len(s.reports)-1].Fix = "remove one of the two"
	}
}

// entombPlace leaves a tombstone under a name made of its place, which no
// object can have.
func (s *settling) entombPlace(p placed, at reason.Origin, message string) {
	named := *p.decoded
	p.decoded = &named
	place := reason.Origin{File: p.file, Line: at.Line}.Place()
	named.name.Name = place
	for n := 2; s.next[objectKey{p.kind, named.name}] != nil; n++ {
		named.name.Name = fmt.Sprintf("%s#%d", place, n) // several on one line
	}
	c := p.claim(Tombstone)
	c.nameless = true
	if at.Name == "" {
		at = c.origin
	}
	s.entomb(objectKey{p.kind, p.name}, c, at, message)
}

// unknownKey is a kind without the version.
type unknownKey struct{ group, kind string }

type unknownCount struct {
	n       int
	first   reason.Origin
	version string
}

func (s *settling) countUnknown(u unknownKind, at located) {
	group, _, grouped := strings.Cut(u.version, "/")
	if !grouped {
		group = ""
	}
	place := reason.Origin{File: at.file, Line: at.base + u.line}
	count, ok := s.unknown[unknownKey{group, u.kind}]
	if !ok {
		count = &unknownCount{first: place, version: u.version}
		s.unknown[unknownKey{group, u.kind}] = count
	}
	count.n++
}

func (c *unknownCount) report(key unknownKey) reason.Report {
	noun := "objects are"
	if c.n == 1 {
		noun = "object is"
	}
	message := fmt.Sprintf("%d %s passed over: Windrose has no use for %s of %s", c.n, noun, clip(key.kind), cmp.Or(clip(c.version), "no apiVersion"))
	return reason.New(reason.UnknownKind, c.first, message)
}
