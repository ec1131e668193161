package dir

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// foundFile is a file to read.
type foundFile struct {
	// path is the file as the user would write it.
	path string
	// real is free of symbolic links.
	real string
}

// listing is what a scan found.
type listing struct {
	files []foundFile // by path
	dirs  []string    // the real paths of the directories that were listed
	// names are, by real directory, those whose change matters because a link
	// or an entry of Config.Dirs leads over them.
	names map[string]map[string]bool
	// targets are those of the symbolic links on the way.
	targets map[string]string
	// torn: a link had two targets during the scan.
	torn bool
	lost []lostPath
}

// moved reports whether a link has another target than during the scan: what was
// read then may be of two versions.
func (l *listing) moved() bool {
	for link, target := range l.targets {
		if now, err := os.Readlink(link); err != nil || now != target {
			return true
		}
	}
	return l.torn
}

// lostPath is a file or directory that is there and could not be read.
type lostPath struct {
	path string
	err  error
	// quiet ones are not worth a Report, such as a dangling link that may
	// never have led to resources.
	quiet bool
}

// scanner lists the directories of a Config. Each real file and directory is
// found once, so that links can neither loop nor multiply; the way without
// links wins over one with links.
type scanner struct {
	listing
	maxDepth int
	seen     map[string]bool
	dirQueue []pendingDir
	links    []pendingLink
}

type pendingDir struct {
	path, real string
	depth      int
}

// pendingLink is a symbolic link by the name and real directory it stands in.
type pendingLink struct {
	path, dir, name string
	depth           int
}

func scan(config *Config) listing {
	s := &scanner{maxDepth: config.MaxDirDepth, seen: map[string]bool{}}
	s.names, s.targets = map[string]map[string]bool{}, map[string]string{}
	for _, dir := range config.Dirs {
		s.root(dir)
	}
	for len(s.dirQueue)+len(s.links) > 0 {
		if len(s.dirQueue) > 0 {
			next := s.dirQueue[0]
			s.dirQueue = s.dirQueue[1:]
			s.dir(next)
			continue
		}
		next := s.links[0]
		s.links = s.links[1:]
		s.link(next)
	}
	slices.SortFunc(s.files, func(a, b foundFile) int { return cmp.Compare(a.path, b.path) })
	return s.listing
}

func (s *scanner) root(dir string) {
	abs, err := filepath.Abs(dir)
	if err == nil {
		abs, err = s.follow(string(filepath.Separator), strings.TrimPrefix(abs, string(filepath.Separator)))
	}
	var info fs.FileInfo
	if err == nil {
		info, err = os.Stat(abs)
	}
	switch path := filepath.Clean(dir); {
	case err != nil:
		s.lose(path, err)
	case info.IsDir():
		s.dirQueue = append(s.dirQueue, pendingDir{path, abs, 0})
	case info.Mode().IsRegular():
		s.file(path, abs)
	default:
		s.lose(path, errors.New("neither a directory nor a file"))
	}
}

func (s *scanner) lose(path string, err error) {
	s.lost = append(s.lost, lostPath{path: path, err: plainError(err)})
}

func (s *scanner) file(path, real string) {
	if !s.seen[real] {
		s.seen[real] = true
		s.files = append(s.files, foundFile{path, real})
	}
}

func (s *scanner) dir(d pendingDir) {
	if s.seen[d.real] {
		return
	}
	s.seen[d.real] = true
	if d.depth > s.maxDepth {
		s.lose(d.path, fmt.Errorf("directories nest more than %d deep", s.maxDepth))
		return
	}
	s.dirs = append(s.dirs, d.real)
	entries, err := os.ReadDir(d.real)
	if err != nil {
		s.lose(d.path, err)
	}
	for _, entry := range entries {
		s.entry(d, entry)
	}
}

func (s *scanner) entry(d pendingDir, entry fs.DirEntry) {
	name := entry.Name()
	if strings.HasPrefix(name, ".") {
		return // also the ..data of a mounted ConfigMap: links lead into it
	}
	path, real := filepath.Join(d.path, name), filepath.Join(d.real, name)
	switch mode := entry.Type(); {
	case mode&fs.ModeSymlink != 0:
		s.links = append(s.links, pendingLink{path, d.real, name, d.depth})
	case mode.IsDir():
		s.dirQueue = append(s.dirQueue, pendingDir{path, real, d.depth + 1})
	case mode.IsRegular() && isResourceFile(name):
		s.file(path, real)
	}
}

func isResourceFile(name string) bool {
	switch filepath.Ext(name) {
	case ".yaml", ".yml", ".json":
		return true
	}
	return false
}

func (s *scanner) link(l pendingLink) {
	real, err := s.follow(l.dir, l.name)
	var info fs.FileInfo
	if err == nil {
		info, err = os.Stat(real)
	}
	switch {
	case err != nil:
		s.lost = append(s.lost, lostPath{l.path, plainError(err), !isResourceFile(l.name)})
	case info.IsDir():
		s.dirQueue = append(s.dirQueue, pendingDir{l.path, real, l.depth + 1})
	case info.Mode().IsRegular() && isResourceFile(l.name):
		s.file(l.path, real)
	}
}

// follow resolves rest, which begins in the real directory dir, and notes every
// link on the way and the last name: when one of those changes, the result may.
func (s *scanner) follow(dir, rest string) (string, error) {
	const maxLinks = 40 // as Linux has it
	steps := strings.Split(rest, string(filepath.Separator))
	for links := 0; len(steps) > 0; {
		name := steps[0]
		steps = steps[1:]
		if name == "" || name == "." || name == ".." {
			dir = filepath.Join(dir, name)
			continue
		}
		next := filepath.Join(dir, name)
		info, err := os.Lstat(next)
		isLink := err == nil && info.Mode()&fs.ModeSymlink != 0
		if err != nil || isLink || len(steps) == 0 {
			s.note(dir, name)
		}
		if err != nil {
			return "", err
		}
		if !isLink {
			dir = next
			continue
		}
		if links++; links > maxLinks {
			return "", errors.New("too many symbolic links")
		}
		target, err := os.Readlink(next)
		if err != nil {
			return "", err
		}
		if before, seen := s.targets[next]; seen && before != target {
			s.torn = true
		}
		s.targets[next] = target
		if filepath.IsAbs(target) {
			dir = string(filepath.Separator)
		}
		steps = append(strings.Split(target, string(filepath.Separator)), steps...)
	}
	return dir, nil
}

func (s *scanner) note(dir, name string) {
	if s.names[dir] == nil {
		s.names[dir] = map[string]bool{}
	}
	s.names[dir][name] = true
}
