package dir

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// watched is a directory under Watch, as the build loop sees it.
type watched struct {
	t      *testing.T
	dir    string
	loader *Loader
	dirty  chan struct{}
}

func newWatched(t *testing.T, dir string) *watched { return newWatchedBy(t, dir, Config{}) }

func newWatchedBy(t *testing.T, dir string, config Config) *watched {
	config.Dirs = []string{dir}
	w := &watched{t, dir, NewLoader(config), make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- w.loader.Watch(ctx, func() {
			select {
			case w.dirty <- struct{}{}:
			default:
			}
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	<-w.dirty // the watches are in place
	return w
}

// becomes loads after each event until the ConfigMaps and their data are as
// wanted: name=value, in order of names.
func (w *watched) becomes(want ...string) {
	w.t.Helper()
	deadline := time.After(20 * time.Second)
	var got []string
	for {
		set := w.loader.Load()
		got = nil
		for o := range set.ConfigMaps.All() {
			got = append(got, o.Value.Name+"="+o.Value.Data["v"])
		}
		if fmt.Sprint(got) == fmt.Sprint(want) {
			return
		}
		select {
		case <-w.dirty:
		case <-deadline:
			w.t.Fatalf("no event leads from %v to %v; reports: %v", got, want, set.Reports)
		}
	}
}

func configMap(name string, value any) string {
	return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\ndata: {v: %q}\n", name, fmt.Sprint(value))
}

func (w *watched) path(elem ...string) string {
	return filepath.Join(append([]string{w.dir}, elem...)...)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestWatchSaves(t *testing.T) {
	w := newWatched(t, t.TempDir())
	writeFile(t, w.path("a.yaml"), configMap("a", 1))
	w.becomes("a=1")
	writeFile(t, w.path("a.yaml"), configMap("a", 2))
	w.becomes("a=2")

	// As editors and sed -i do: a new file takes the name.
	for i := 3; i < 6; i++ {
		writeFile(t, w.path(".a.yaml.tmp"), configMap("a", i))
		must(t, os.Rename(w.path(".a.yaml.tmp"), w.path("a.yaml")))
		w.becomes(fmt.Sprint("a=", i))
	}
	// As vim does with backupcopy=no: the old file moves away first.
	must(t, os.Rename(w.path("a.yaml"), w.path("a.yaml~")))
	writeFile(t, w.path("a.yaml"), configMap("a", 7))
	must(t, os.Remove(w.path("a.yaml~")))
	w.becomes("a=7")

	must(t, os.Remove(w.path("a.yaml")))
	w.becomes()
}

func TestWatchDirectories(t *testing.T) {
	w := newWatched(t, t.TempDir())
	writeFile(t, w.path("one", "two", "three", "a.yaml"), configMap("a", 1))
	w.becomes("a=1")
	writeFile(t, w.path("one", "two", "three", "a.yaml"), configMap("a", 2))
	w.becomes("a=2")

	must(t, os.Rename(w.path("one"), w.path("uno")))
	w.becomes("a=2")
	writeFile(t, w.path("uno", "two", "three", "a.yaml"), configMap("a", 3))
	w.becomes("a=3")

	// Another directory takes the name of the first.
	writeFile(t, w.path(".next", "two", "b.yaml"), configMap("b", 1))
	must(t, os.Rename(w.path("uno"), w.path(".old")))
	must(t, os.Rename(w.path(".next"), w.path("uno")))
	w.becomes("b=1")
	writeFile(t, w.path("uno", "two", "b.yaml"), configMap("b", 2))
	w.becomes("b=2")

	must(t, os.RemoveAll(w.path("uno")))
	w.becomes()
	writeFile(t, w.path("uno", "c.yaml"), configMap("c", 1))
	w.becomes("c=1")
}

// TestWatchMountedConfigMap does what a kubelet does to a volume: visible links
// lead through ..data, which is swapped as a whole.
func TestWatchMountedConfigMap(t *testing.T) {
	dir := t.TempDir()
	publish := func(version string, value int) {
		writeFile(t, filepath.Join(dir, version, "a.yaml"), configMap("a", value))
		writeFile(t, filepath.Join(dir, version, "b.yaml"), configMap("b", value))
		must(t, os.Symlink(version, filepath.Join(dir, "..data_tmp")))
		must(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	}
	publish("..v1", 1)
	for _, name := range []string{"a.yaml", "b.yaml"} {
		must(t, os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)))
	}
	w := newWatched(t, dir)
	w.becomes("a=1", "b=1")
	for i := 2; i < 6; i++ {
		publish(fmt.Sprint("..v", i), i)
		must(t, os.RemoveAll(filepath.Join(dir, fmt.Sprint("..v", i-1))))
		w.becomes(fmt.Sprint("a=", i), fmt.Sprint("b=", i))
	}
}

func TestWatchLinks(t *testing.T) {
	base := t.TempDir()
	conf, away := filepath.Join(base, "conf"), filepath.Join(base, "away")
	writeFile(t, filepath.Join(away, "dir", "a.yaml"), configMap("a", 1))
	writeFile(t, filepath.Join(away, ".file"), configMap("b", 1))
	must(t, os.Mkdir(conf, 0o755))
	must(t, os.Symlink("../away/dir", filepath.Join(conf, "linked")))
	must(t, os.Symlink(filepath.Join(away, ".file"), filepath.Join(conf, "b.yaml")))
	must(t, os.Symlink("..", filepath.Join(conf, "loop")))
	must(t, os.Symlink("self.yaml", filepath.Join(away, "self.yaml")))
	w := newWatched(t, conf)
	w.becomes("a=1", "b=1")
	writeFile(t, filepath.Join(away, "dir", "a.yaml"), configMap("a", 2))
	w.becomes("a=2", "b=1")
	writeFile(t, filepath.Join(away, ".file"), configMap("b", 2))
	w.becomes("a=2", "b=2")
}

// TestWatchRoot replaces the directory itself, which is how some deploy.
func TestWatchRoot(t *testing.T) {
	base := t.TempDir()
	writeFile(t, filepath.Join(base, "v1", "a.yaml"), configMap("a", 1))
	writeFile(t, filepath.Join(base, "v2", "a.yaml"), configMap("a", 2))
	must(t, os.Symlink("v1", filepath.Join(base, "current")))
	w := newWatched(t, filepath.Join(base, "current"))
	w.becomes("a=1")
	must(t, os.Symlink("v2", filepath.Join(base, "next")))
	must(t, os.Rename(filepath.Join(base, "next"), filepath.Join(base, "current")))
	w.becomes("a=2")

	must(t, os.Remove(filepath.Join(base, "current")))
	must(t, os.Mkdir(filepath.Join(base, "current"), 0o755))
	w.becomes()
	writeFile(t, filepath.Join(base, "current", "b.yaml"), configMap("b", 1))
	w.becomes("b=1")
}
