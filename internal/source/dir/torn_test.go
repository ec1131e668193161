package dir

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"windrose.dev/windrose/internal/source"
)

// TestTornFiles: a strict beginning of what stood in a file does not count yet;
// anything else counts at once.
func TestTornFiles(t *testing.T) {
	a, b, c := configMap("a", 1), "---\n"+configMap("b", 1), "---\n"+configMap("c", 1)
	for _, test := range []struct {
		name  string
		saves []string
		want  string // the ConfigMaps in the end
		held  bool
	}{
		{"the end is cut off", []string{a + b, a}, "a b", true},
		{"it grows, and is not whole yet", []string{a + b + c, a, a + b}, "a b c", true},
		{"it is whole again", []string{a + b, a, a + b}, "a b", false},
		{"it turns out to be other content", []string{a + b, a, a + c}, "a c", false},
		{"it grows beyond", []string{a, a + b}, "a b", false},
		{"empty in between", []string{a + b, "", a}, "a b", true},
		{"empty, then other content", []string{a + b, "", c}, "c", false},
		{"the beginning is cut off", []string{a + b, b}, "b", false},
		{"other content", []string{a + b, c}, "c", false},
		{"the first version", []string{a}, "a", false},
	} {
		path := filepath.Join(t.TempDir(), "a.yaml")
		loader := NewLoader(Config{Dirs: []string{path}, Torn: time.Hour})
		var set *source.Set
		for _, text := range test.saves {
			writeFile(t, path, text)
			set = loader.Load()
		}
		var got []string
		for o := range set.ConfigMaps.All() {
			got = append(got, o.Value.Name)
			if o.State != source.Current {
				t.Errorf("%s: %s is not current", test.name, o.Value.Name)
			}
		}
		if strings.Join(got, " ") != test.want || len(set.Reports) > 0 != test.held {
			t.Errorf("%s: got %v, want %s; reports: %v", test.name, got, test.want, set.Reports)
		}
	}
}

// TestTornFilesAreBelieved: after a while a beginning counts, without an event,
// and then it is what the next save is compared with.
func TestTornFilesAreBelieved(t *testing.T) {
	w := newWatchedBy(t, t.TempDir(), Config{Torn: 10 * time.Millisecond})
	a, b, c := configMap("a", 1), "---\n"+configMap("b", 1), "---\n"+configMap("c", 1)
	for _, save := range []struct {
		text string
		want []string
	}{
		{a + b + c, []string{"a=1", "b=1", "c=1"}},
		{a + b, []string{"a=1", "b=1"}},
		{a, []string{"a=1"}},
	} {
		writeFile(t, w.path("a.yaml"), save.text)
		w.becomes(save.want...)
	}
}

// TestNoSetMixesVersions swaps a mounted ConfigMap all the time, as a kubelet
// does. No Set has files of two versions.
func TestNoSetMixesVersions(t *testing.T) {
	dir := t.TempDir()
	const files = 20
	publish := func(version int) error {
		name := fmt.Sprint("..v", version)
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			return err
		}
		for i := range files {
			file := filepath.Join(dir, name, fmt.Sprint(i, ".yaml"))
			if err := os.WriteFile(file, []byte(configMap(fmt.Sprint("c", i), version)), 0o600); err != nil {
				return err
			}
		}
		if err := os.Symlink(name, filepath.Join(dir, "..tmp")); err != nil {
			return err
		}
		if err := os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")); err != nil {
			return err
		}
		return os.RemoveAll(filepath.Join(dir, fmt.Sprint("..v", version-1)))
	}
	must(t, publish(1))
	for i := range files {
		must(t, os.Symlink(fmt.Sprint("..data/", i, ".yaml"), filepath.Join(dir, fmt.Sprint(i, ".yaml"))))
	}
	loader := NewLoader(Config{Dirs: []string{dir}})
	loader.Load()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		for version := 2; ctx.Err() == nil; version++ {
			if err := publish(version); err != nil {
				ended <- err
				return
			}
		}
		ended <- nil
	}()
	for range 200 {
		set := loader.Load()
		versions := map[string]int{}
		for o := range set.ConfigMaps.All() {
			versions[o.Value.Data["v"]]++
		}
		if len(versions) != 1 || set.ConfigMaps.Len() != files || len(set.Reports) > 0 {
			t.Errorf("a Set has %v, and reports %v", versions, set.Reports)
			break
		}
	}
	cancel()
	must(t, <-ended)
}

// TestMovedLinks: a link that was swapped during the scan, or after it.
func TestMovedLinks(t *testing.T) {
	t.Chdir(t.TempDir())
	writeFile(t, "one/a.yaml", configMap("a", 1))
	writeFile(t, "two/a.yaml", configMap("a", 2))
	swap := func(to string) {
		must(t, os.Symlink(to, "tmp"))
		must(t, os.Rename("tmp", "data"))
	}
	swap("one")
	config := Config{Dirs: []string{"data"}}.withDefaults()
	after := scan(&config)
	if after.moved() {
		t.Error("nothing has moved")
	}
	swap("two")
	if !after.moved() {
		t.Error("the link has moved after the scan")
	}
	during := &scanner{listing: listing{names: map[string]map[string]bool{}, targets: map[string]string{}}}
	dir, err := os.Getwd()
	must(t, err)
	for _, to := range []string{"one", "two"} {
		swap(to)
		if _, err := during.follow(dir, "data"); err != nil {
			t.Fatal(err)
		}
	}
	if !during.moved() {
		t.Error("the link has moved during the scan")
	}
}
