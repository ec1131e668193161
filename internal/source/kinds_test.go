package source_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"windrose.dev/windrose/internal/source"
	"windrose.dev/windrose/internal/source/crd"
	"windrose.dev/windrose/internal/source/dir"
)

// TestVersionsAreTheDefinitions: a row of the table reads exactly the versions
// that an API server with the definitions serves.
func TestVersionsAreTheDefinitions(t *testing.T) {
	defined := 0
	for _, k := range source.Kinds() {
		if !strings.HasPrefix(k.Version, gatewayv1.GroupName+"/") {
			continue
		}
		defined++
		want := crd.Versions(gatewayv1.GroupName, k.Name)
		got := append([]string{k.Version}, k.Also...)
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: reads %v, served are %v", k.Name, got, want)
		}
		if cluster := crd.Find(k.Version, k.Name).Cluster; cluster != k.Cluster {
			t.Errorf("%s: cluster-scoped is %v", k.Name, cluster)
		}
	}
	if defined != 10 {
		t.Errorf("%d kinds of the Gateway API, not 10", defined)
	}
}

// TestFixesAreInUse: every hint belongs to a message that a definition still
// gives; gateway_refused.txtar shows one of each.
func TestFixesAreInUse(t *testing.T) {
	given := map[string]bool{}
	for _, report := range dir.NewLoader(dir.Config{Dirs: []string{unpacked(t, "dir/testdata/gateway_refused.txtar")}}).Load().Reports {
		given[report.Fix] = true
	}
	for _, fix := range source.RuleFixes() {
		if !given[fix] {
			t.Errorf("no case shows the fix %q", fix)
		}
	}
}

// unpacked writes the files of the first step of a case.
func unpacked(t *testing.T, path string) string {
	archive, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	to := t.TempDir()
	for _, file := range archive.Files {
		if name, is := strings.CutPrefix(file.Name, "step1/"); is {
			if err := os.WriteFile(filepath.Join(to, filepath.Base(name)), file.Data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return to
}
