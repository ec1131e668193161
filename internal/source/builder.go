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
	kind *Kind
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

// Builder makes one Set after the other out of what a source has read, and remembers the
// last good version of each object. It has one caller at a time.
type Builder struct{ last map[objectKey]*claim }

// NewBuilder makes a Builder that knows of no objects.
func NewBuilder() *Builder { return &Builder{} }

// Files are those that hold objects of the last Set.
func (b *Builder) Files() map[string]bool {
	files := map[string]bool{}
	for _, c := range b.last {
		files[c.file] = true
	}
	return files
}

// Begin starts the next Set. What was in the Set before and is neither added nor lost is
// gone.
func (b *Builder) Begin() *Batch {
	return &Batch{
		builder: b, last: b.last, next: make(map[objectKey]*claim, len(b.last)),
		lostFiles: map[string]int{}, unknown: map[unknownKey]*unknownCount{},
	}
}

// Batch is the Set that is being made. It decides which objects make it: of those that
// were read now, by file and line, and of those of the Set before.
type Batch struct {
	builder    *Builder
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

// placed is an object and where it stands.
type placed struct {
	*Resource
	file string
	base int
}

// Report adds a Report that belongs to no object.
func (s *Batch) Report(r reason.Report) { s.reports = append(s.reports, r) }

// LoseDir notes a path below which objects may stand that could not be read: those of
// the Set before stay.
func (s *Batch) LoseDir(path string) { s.lostDirs = append(s.lostDirs, path) }

// LoseFile is LoseDir for a file, with the line of the first place that could not be
// read, or 0. The first call for a file counts.
func (s *Batch) LoseFile(path string, line int) {
	if _, before := s.lostFiles[path]; !before {
		s.lostFiles[path] = line
	}
}

// Unknown counts an object of a kind that Windrose has no use for.
func (s *Batch) Unknown(apiVersion, kind string, at reason.Origin) {
	group, _, grouped := strings.Cut(apiVersion, "/")
	if !grouped {
		group = ""
	}
	count, ok := s.unknown[unknownKey{group, kind}]
	if !ok {
		count = &unknownCount{first: at, version: apiVersion}
		s.unknown[unknownKey{group, kind}] = count
	}
	count.n++
}

// Add takes one object that stands in a file, whose document begins after base lines of
// it; a source without files leaves them empty. Objects come by file and line.
//
// The first place of a name, by
// file and line, counts. A broken object stands for its last good version, or
// for its tombstone; only where it leaves nothing does the next place count.
// What a later place guards is closed, if the first leaves it open.
func (s *Batch) Add(r *Resource, file string, base int) {
	p := placed{r, file, base}
	at := p.origin()
	for _, problem := range p.Problems {
		s.reports = append(s.reports, problem.Report(at, p.base))
	}
	if p.Name.Name == "" {
		s.nameless = append(s.nameless, p)
		return
	}
	key := objectKey{p.Kind, p.Name}
	before := s.last[key]
	broken := len(p.Problems) > 0
	if first, taken := s.next[key]; taken {
		s.duplicate(p, first, broken)
		return
	}
	switch {
	case !broken:
		s.next[key] = p.claim(Current)
	case before != nil && before.state != Tombstone:
		s.keep(key, before, p.file, at)
	case p.Guards:
		s.entomb(key, p.claim(Tombstone), at, brokenGuard(p.Kind))
	}
}

// duplicate deals with an object whose name is taken.
func (s *Batch) duplicate(p placed, first *claim, broken bool) {
	if !broken {
		message := "the object already stands at " + first.origin.Place()
		s.reports = append(s.reports, reason.New(reason.DuplicateObject, p.origin(), message))
	}
	if p.Guards && !first.guards {
		s.copies = append(s.copies, p)
	}
}

func brokenGuard(k *Kind) string {
	return fmt.Sprintf("this %s guards something, is broken, and has no good version: what it guards is closed", k.Name)
}

func (p placed) origin() reason.Origin {
	o := reason.Origin{File: p.file, Line: p.base + p.Line}
	if p.Name.Name != "" {
		o.Kind, o.Namespace, o.Name = p.Kind.Name, p.Name.Namespace, p.Name.Name
	}
	return o
}

func (p placed) claim(state State) *claim {
	at := p.origin()
	return &claim{object: p.Kind.place(p.Resource, at, p.base, state), state: state, origin: at, file: p.file, guards: p.Guards}
}

// keep lets the last good version of an object stay.
func (s *Batch) keep(key objectKey, before *claim, file string, at reason.Origin) {
	kept := *before
	kept.file = file
	if kept.state == Current {
		kept.object, kept.state = key.kind.stale(before.object), Stale
	}
	s.next[key] = &kept
	s.reports = append(s.reports, reason.New(reason.KeptLastGood, at, "the last good version stays in force"))
}

func (s *Batch) entomb(key objectKey, c *claim, at reason.Origin, message string) {
	s.next[key] = c
	s.reports = append(s.reports, reason.New(reason.Tombstone, at, message))
}

// Set keeps what lost files held before and makes the Set. The Batch ends with it.
func (s *Batch) Set() *Set {
	kept := s.keepLost()
	s.entombNameless(kept)
	s.entombCopies()
	for key, count := range s.unknown {
		s.reports = append(s.reports, count.report(key))
	}
	objects := map[*Kind][]any{}
	for key, c := range s.next {
		objects[key.kind] = append(objects[key.kind], c.object)
	}
	set := &Set{Reports: reason.Sorted(s.reports)}
	for _, k := range Kinds() {
		k.install(set, objects[k])
	}
	s.builder.last = s.next
	return set
}

// fileKind is one kind within one file.
type fileKind struct {
	file string
	kind *Kind
}

// keepLost keeps the objects that are missing now, and whose file may only be
// broken. It returns of which kinds it kept something.
func (s *Batch) keepLost() map[fileKind]bool {
	renamed := map[fileKind]bool{}
	for _, p := range slices.Concat(s.nameless, s.copies) {
		renamed[fileKind{p.file, p.Kind}] = true
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

func (s *Batch) isLost(file string) (line int, lost bool) {
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
func (s *Batch) entombNameless(kept map[fileKind]bool) {
	for _, p := range s.nameless {
		if p.Guards && !kept[fileKind{p.file, p.Kind}] {
			s.entombPlace(p, p.origin(), brokenGuard(p.Kind))
		}
	}
}

// entombCopies leaves tombstones for what only later copies of an object guard.
func (s *Batch) entombCopies() {
	for _, p := range s.copies {
		at := p.origin()
		first := s.next[objectKey{p.Kind, p.Name}]
		message := fmt.Sprintf("this copy of the %s guards something, and the one at %s does not: what this one guards is closed", p.Kind.Name, first.origin.Place())
		s.entombPlace(p, at, message)
		s.reports[len(s.reports)-1].Fix = "remove one of the two"
	}
}

// entombPlace leaves a tombstone under a name made of its place, which no
// object can have.
func (s *Batch) entombPlace(p placed, at reason.Origin, message string) {
	named := *p.Resource
	p.Resource = &named
	place := reason.Origin{File: p.file, Line: at.Line}.Place()
	named.Name.Name = place
	for n := 2; s.next[objectKey{p.Kind, named.Name}] != nil; n++ {
		named.Name.Name = fmt.Sprintf("%s#%d", place, n) // several on one line
	}
	c := p.claim(Tombstone)
	c.nameless = true
	if at.Name == "" {
		at = c.origin
	}
	s.entomb(objectKey{p.Kind, p.Name}, c, at, message)
}

// unknownKey is a kind without the version.
type unknownKey struct{ group, kind string }

type unknownCount struct {
	n       int
	first   reason.Origin
	version string
}

func (c *unknownCount) report(key unknownKey) reason.Report {
	noun := "objects are"
	if c.n == 1 {
		noun = "object is"
	}
	message := fmt.Sprintf("%d %s passed over: Windrose has no use for %s of %s", c.n, noun, reason.Clip(key.kind), cmp.Or(reason.Clip(c.version), "no apiVersion"))
	return reason.New(reason.UnknownKind, c.first, message)
}
