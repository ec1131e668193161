package dir

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"windrose.dev/windrose/internal/source"
)

// TestSavesInOneTickAreSeen: a file that is written again at once, at equal
// size, within the granularity of the file system's clock.
func TestSavesInOneTickAreSeen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.yaml")
	loader := NewLoader(Config{Dirs: []string{path}})
	past := time.Unix(1_000_000_000, 0)
	for i := range 300 {
		writeFile(t, path, configMap("a", i%10))
		must(t, os.Chtimes(path, past, past)) // as cp -p and tar do
		set := loader.Load()
		if got := set.ConfigMaps.Get("default", "a").Value.Data["v"]; got != fmt.Sprint(i%10) {
			t.Fatalf("save %d: got %s", i, got)
		}
	}
}

// TestSetsDoNotChange: those who hold a Set see no later load.
func TestSetsDoNotChange(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.yaml")
	loader := NewLoader(Config{Dirs: []string{path}})
	writeFile(t, path, configMap("a", 1))
	first := loader.Load()
	writeFile(t, path, "broken: [")
	second := loader.Load()
	writeFile(t, path, configMap("b", 1))
	third := loader.Load()
	for i, test := range []struct {
		set     *source.Set
		objects string
		reports int
	}{
		{first, "ConfigMap default/a " + path + ":1 current\n", 0},
		{second, "ConfigMap default/a " + path + ":1 stale\n", 2},
		{third, "ConfigMap default/b " + path + ":1 current\n", 0},
	} {
		if got := string(listObjects(test.set)); got != test.objects || len(test.set.Reports) != test.reports {
			t.Errorf("set %d: got %q and %v", i, got, test.set.Reports)
		}
	}
}

// TestTooManyDocuments: a file that does not fit is set aside as a whole.
func TestTooManyDocuments(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "a.yaml"), configMap("a", 1))
	writeFile(t, filepath.Join(dir, "b.yaml"), configMap("b", 1)+"---\n"+configMap("c", 1))
	writeFile(t, filepath.Join(dir, "d.yaml"), configMap("d", 1))
	set := NewLoader(Config{Dirs: []string{dir}, MaxDocuments: 2}).Load()
	if set.ConfigMaps.Len() != 2 || set.ConfigMaps.Get("default", "d") == nil || len(set.Reports) != 1 {
		t.Error(set.ConfigMaps.Len(), set.Reports)
	}
}
