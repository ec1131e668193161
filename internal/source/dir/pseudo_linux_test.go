package dir

import (
	"os"
	"path/filepath"
	"testing"
)

// TestPseudoFiles: a link to a file of /proc, which may block for ever, is
// reported and not read.
func TestPseudoFiles(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink("/proc/self/status", filepath.Join(dir, "a.yaml")); err != nil {
		t.Fatal(err)
	}
	set := NewLoader(Config{Dirs: []string{dir}}).Load()
	if len(set.Reports) != 1 || set.Reports[0].Code.String() != "Unreadable" {
		t.Errorf("%v", set.Reports)
	}
}
