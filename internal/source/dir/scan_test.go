package dir

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"windrose.dev/windrose/internal/reason"
)

// TestScanPaths: files are named as the user would write them, each real file
// once, and the way without links wins.
func TestScanPaths(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, path := range []string{"conf/b.yaml", "conf/a/x.yml", "conf/a/y.json", "conf/a/.z.yaml", "conf/no.txt", "more/m.yaml", "single.conf"} {
		writeFile(t, path, "")
	}
	must(t, os.Symlink("a", "conf/0-link"))
	must(t, os.Symlink("../more", "conf/z-more"))
	must(t, os.Symlink("b.yaml", "conf/c.yaml"))
	must(t, os.Symlink("../conf", "conf/again"))
	for _, test := range []struct {
		dirs []string
		want string
	}{
		{[]string{"conf"}, "conf/a/x.yml conf/a/y.json conf/b.yaml conf/z-more/m.yaml"},
		{[]string{"./conf/"}, "conf/a/x.yml conf/a/y.json conf/b.yaml conf/z-more/m.yaml"},
		{[]string{"conf", "more"}, "conf/a/x.yml conf/a/y.json conf/b.yaml more/m.yaml"},
		{[]string{"conf/0-link"}, "conf/0-link/x.yml conf/0-link/y.json"},
		{[]string{"single.conf", "conf/a"}, "conf/a/x.yml conf/a/y.json single.conf"},
		{[]string{"."}, "conf/a/x.yml conf/a/y.json conf/b.yaml more/m.yaml"},
	} {
		config := Config{Dirs: test.dirs}.withDefaults()
		list := scan(&config)
		var got []string
		for _, file := range list.files {
			got = append(got, file.path)
		}
		if strings.Join(got, " ") != test.want || len(list.lost) > 0 {
			t.Errorf("%v:\ngot  %v\nwant %v\nlost %v", test.dirs, got, test.want, list.lost)
		}
	}
}

// TestScanKeepsWhatCannotBeRead: a directory or file that is there and cannot
// be read, or that has vanished as a whole, takes nothing away.
func TestScanKeepsWhatCannotBeRead(t *testing.T) {
	t.Chdir(t.TempDir())
	writeFile(t, "conf/a/b/a.yaml", configMap("a", 1))
	writeFile(t, "target", configMap("l", 1))
	must(t, os.Symlink("../target", "conf/l.yaml"))
	must(t, os.Symlink("../nowhere", "conf/README"))
	loader := NewLoader(Config{Dirs: []string{"conf"}, MaxDirDepth: 2})
	steps := []struct {
		name    string
		change  func()
		objects string
		reports []string
	}{
		{"all is well", func() {}, "ConfigMap default/a conf/a/b/a.yaml:1 current\nConfigMap default/l conf/l.yaml:1 current\n", nil},
		{
			"a link dangles", func() { must(t, os.Remove("target")) },
			"ConfigMap default/a conf/a/b/a.yaml:1 current\nConfigMap default/l conf/l.yaml:1 stale\n",
			[]string{
				"conf/l.yaml: error Unreadable: no such file or directory",
				"conf/l.yaml: warning KeptLastGood: ConfigMap default/l: the last good version stays in force",
			},
		},
		{
			"the root is gone", func() { must(t, os.Rename("conf", "gone")) },
			"ConfigMap default/a conf/a/b/a.yaml:1 stale\nConfigMap default/l conf/l.yaml:1 stale\n",
			[]string{
				"conf: error Unreadable: no such file or directory",
				"conf/a/b/a.yaml: warning KeptLastGood: ConfigMap default/a: the last good version stays in force",
				"conf/l.yaml: warning KeptLastGood: ConfigMap default/l: the last good version stays in force",
			},
		},
		{
			"too deep now", func() {
				must(t, os.Rename("gone", "conf"))
				must(t, os.Remove("conf/l.yaml"))
				writeFile(t, "conf/a/b/c/d.yaml", configMap("d", 1))
			},
			"ConfigMap default/a conf/a/b/a.yaml:1 current\n",
			[]string{"conf/a/b/c: error Unreadable: directories nest more than 2 deep"},
		},
	}
	for _, step := range steps {
		step.change()
		set := loader.Load()
		if got := string(listObjects(set)); got != step.objects {
			t.Errorf("%s: got\n%swant\n%s", step.name, got, step.objects)
		}
		if got := withoutFixes(set.Reports); !slices.Equal(got, step.reports) {
			t.Errorf("%s: got\n%s\nwant\n%s", step.name, strings.Join(got, "\n"), strings.Join(step.reports, "\n"))
		}
	}
}

func withoutFixes(reports []reason.Report) (out []string) {
	for _, r := range reports {
		text, _, _ := strings.Cut(r.String(), "; fix: ")
		out = append(out, text)
	}
	return out
}

func TestScanPassesOverPipes(t *testing.T) {
	dir := t.TempDir()
	must(t, makePipe(filepath.Join(dir, "pipe.yaml")))
	must(t, os.Symlink("pipe.yaml", filepath.Join(dir, "link.yaml")))
	writeFile(t, filepath.Join(dir, "a.yaml"), configMap("a", 1))
	if set := NewLoader(Config{Dirs: []string{dir}}).Load(); set.ConfigMaps.Len() != 1 || len(set.Reports) > 0 {
		t.Error(set.ConfigMaps.Len(), set.Reports)
	}
}

func TestCheck(t *testing.T) {
	t.Chdir(t.TempDir())
	writeFile(t, "conf/a.yaml", "")
	must(t, makePipe("pipe"))
	for _, test := range []struct {
		dirs []string
		want string
	}{
		{[]string{"conf", "conf/a.yaml"}, ""},
		{nil, "no directory is given"},
		{[]string{"conf", "cnof"}, "cnof: no such file or directory"},
		{[]string{"a", "pipe"}, "a: no such file or directory\npipe: neither a directory nor a file"},
	} {
		got := ""
		if err := NewLoader(Config{Dirs: test.dirs}).Check(); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%v: got %q, want %q", test.dirs, got, test.want)
		}
	}
}
