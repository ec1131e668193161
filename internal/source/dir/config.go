package dir

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// Config says what a [Loader] reads and how much of it. A bound that is zero
// takes its default.
type Config struct {
	// Dirs are the directories to read, with all below them. A path that is a
	// file is read as such, whatever its name.
	Dirs []string

	// Guards reports whether a resource of that kind with those annotations
	// restricts who may reach something. A broken resource that guards is not
	// dropped, but left as a Tombstone. It must be a pure function, safe for
	// concurrent use: its answers are kept with the text. Of broken resources it
	// is asked about one annotation at a time, wherever it stands, with the value
	// ? where that cannot be read. Nil means that nothing guards.
	Guards func(kind string, annotations map[string]string) bool

	// MaxFileBytes bounds one file. Default 16 MiB.
	MaxFileBytes int
	// MaxFiles bounds the files of all directories together. Default 50,000.
	MaxFiles int
	// MaxDirDepth bounds how deep directories nest below those in Dirs.
	// Default 32.
	MaxDirDepth int
	// MaxDocuments bounds the documents of all files together. Default 200,000.
	MaxDocuments int
	// MaxDepth bounds how deep lists and mappings nest in a document. Default
	// 100.
	MaxDepth int
	// MaxAliasNodes bounds the nodes that the aliases and merge keys of one
	// document may unfold to. Default 100,000.
	MaxAliasNodes int
	// MaxProblems bounds the Reports of one object; the rest are left out.
	// Default 100.
	MaxProblems int

	// Settle is how long a file must have been left alone before an unchanged
	// stat is believed to mean unchanged content. It must exceed the
	// granularity of the file system's timestamps. Default 2 s.
	Settle time.Duration
	// Torn is how long a file that became a strict beginning of itself counts as
	// still being written. Default 1 s.
	Torn time.Duration
}

func (c Config) withDefaults() Config {
	for _, bound := range []struct {
		field *int
		value int
	}{
		{&c.MaxFileBytes, 16 << 20},
		{&c.MaxFiles, 50_000},
		{&c.MaxDirDepth, 32},
		{&c.MaxDocuments, 200_000},
		{&c.MaxDepth, 100},
		{&c.MaxAliasNodes, 100_000},
		{&c.MaxProblems, 100},
	} {
		*bound.field = cmp.Or(*bound.field, bound.value)
	}
	c.Settle = cmp.Or(c.Settle, 2*time.Second)
	c.Torn = cmp.Or(c.Torn, time.Second)
	if c.Guards == nil {
		c.Guards = func(string, map[string]string) bool { return false }
	}
	return c
}

// Check returns an error that names every entry of Dirs that cannot be read
// now. A program calls it once before it starts; from then on such a thing is a
// Report, because a directory may come back.
func (l *Loader) Check() error {
	if len(l.config.Dirs) == 0 {
		return errors.New("no directory is given")
	}
	var errs []error
	for _, dir := range l.config.Dirs {
		if err := checkDir(dir); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", dir, plainError(err)))
		}
	}
	return errors.Join(errs...)
}

func checkDir(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() && !info.Mode().IsRegular() {
		return errors.New("neither a directory nor a file")
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return f.Close()
}

// plainError drops the operation and path that the os package puts around an
// error; the caller names the path as the user wrote it.
func plainError(err error) error {
	var wrapped *fs.PathError
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}
