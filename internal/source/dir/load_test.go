package dir

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
)

var update = flag.Bool("update", false, "write what the code says into testdata/*.txtar; read the diff")

// guardsInTests is the table that the translator would give.
func guardsInTests(_ string, annotations map[string]string) bool {
	_, ok := annotations["nginx.ingress.kubernetes.io/auth-url"]
	return ok
}

// TestLoad runs each testdata/*.txtar. Files in step1/ are loaded; those in
// step2/, where there are any, then replace them, and so on. Files that exist
// in a step and are empty but for the word REMOVED are removed. After each step
// want/objects-N lists the objects and want/reports-N the Reports.
func TestLoad(t *testing.T) {
	cases, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(cases) == 0 {
		t.Fatal("no cases", err)
	}
	for _, path := range cases {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			runCase(t, path)
		})
	}
}

func runCase(t *testing.T, path string) {
	archive, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	path, err = filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	loader := NewLoader(caseConfig(string(archive.Comment)))
	got := &txtar.Archive{Comment: archive.Comment}
	for step := 1; ; step++ {
		inputs := filesUnder(archive, fmt.Sprintf("step%d/", step))
		if len(inputs) == 0 {
			break
		}
		writeStep(t, inputs, step)
		set := loader.Load()
		got.Files = append(got.Files, inputs...)
		got.Files = append(got.Files,
			txtar.File{Name: fmt.Sprintf("want/objects-%d", step), Data: listObjects(set)},
			txtar.File{Name: fmt.Sprintf("want/reports-%d", step), Data: listReports(set)})
	}
	if *update {
		writeFile(t, path, string(txtar.Format(got)))
		return
	}
	if diff := cmp.Diff(wants(archive), wants(got)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// caseConfig takes bounds from a case's comment, such as "MaxDepth: 5".
func caseConfig(comment string) Config {
	config := Config{Dirs: []string{"conf"}, Guards: guardsInTests}
	for line := range strings.Lines(comment) {
		var n int
		for name, field := range map[string]*int{
			"MaxFileBytes": &config.MaxFileBytes, "MaxFiles": &config.MaxFiles, "MaxDepth": &config.MaxDepth,
			"MaxDocuments": &config.MaxDocuments, "MaxAliasNodes": &config.MaxAliasNodes,
			"MaxProblems": &config.MaxProblems, "MaxDirDepth": &config.MaxDirDepth,
		} {
			if _, err := fmt.Sscanf(line, name+": %d", &n); err == nil {
				*field = n
			}
		}
	}
	return config
}

func filesUnder(archive *txtar.Archive, prefix string) []txtar.File {
	var out []txtar.File
	for _, file := range archive.Files {
		if strings.HasPrefix(file.Name, prefix) {
			out = append(out, file)
		}
	}
	return out
}

func writeStep(t *testing.T, inputs []txtar.File, step int) {
	for _, file := range inputs {
		path := filepath.Join("conf", strings.TrimPrefix(file.Name, fmt.Sprintf("step%d/", step)))
		if string(bytes.TrimSpace(file.Data)) == "REMOVED" {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			continue
		}
		writeFile(t, path, string(file.Data))
	}
}

func wants(archive *txtar.Archive) map[string]string {
	out := map[string]string{}
	for _, file := range filesUnder(archive, "want/") {
		out[file.Name] = string(file.Data)
	}
	return out
}

func listReports(set *source.Set) []byte {
	var out bytes.Buffer
	for _, r := range set.Reports {
		fmt.Fprintln(&out, r)
	}
	return out.Bytes()
}

// listObjects writes one line an object: Kind ns/name file:line state.
func listObjects(set *source.Set) []byte {
	var out bytes.Buffer
	eachObject(set, func(_ any, at reason.Origin, state source.State) {
		fmt.Fprintln(&out, at.Object(), at.Place(), [...]string{"current", "stale", "tombstone"}[state])
	})
	return out.Bytes()
}

// eachObject calls do for all objects, kind by kind. The value is a *T.
func eachObject(set *source.Set, do func(value any, at reason.Origin, state source.State)) {
	each(set.Namespaces, do)
	each(set.Services, do)
	each(set.EndpointSlices, do)
	each(set.Endpoints, do)
	each(set.Secrets, do)
	each(set.ConfigMaps, do)
	each(set.Pods, do)
	each(set.Deployments, do)
	each(set.StatefulSets, do)
	each(set.Ingresses, do)
	each(set.IngressClasses, do)
	each(set.GatewayClasses, do)
	each(set.Gateways, do)
	each(set.ListenerSets, do)
	each(set.ReferenceGrants, do)
	each(set.HTTPRoutes, do)
	each(set.GRPCRoutes, do)
	each(set.TLSRoutes, do)
	each(set.TCPRoutes, do)
	each(set.UDPRoutes, do)
	each(set.BackendTLSPolicies, do)
}

func each[T any](index source.Index[T], do func(any, reason.Origin, source.State)) {
	for o := range index.All() {
		do(o.Value, o.Origin, o.State)
	}
}

// TestOrderOfFilesDoesNotMatter loads the same documents from files in many
// orders. Only the places may differ.
func TestOrderOfFilesDoesNotMatter(t *testing.T) {
	texts := documentsOf(t, "testdata/kinds.txtar")
	names := func(order []int) map[string]any {
		dir := t.TempDir()
		for i, n := range order {
			writeFile(t, filepath.Join(dir, fmt.Sprintf("%02d.yaml", i)), texts[n])
		}
		set := NewLoader(Config{Dirs: []string{dir}}).Load()
		if reason.Count(set.Reports, reason.Error) > 0 {
			t.Fatal(set.Reports)
		}
		return valuesOf(set)
	}
	order := make([]int, len(texts))
	for i := range order {
		order[i] = i
	}
	want := names(order)
	for range 10 {
		rand.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		if diff := cmp.Diff(want, names(order)); diff != "" {
			t.Fatalf("order %v: -want +got:\n%s", order, diff)
		}
	}
}

// documentsOf returns the YAML documents of the first step of a case.
func documentsOf(t *testing.T, path string) []string {
	archive, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, file := range filesUnder(archive, "step1/") {
		if strings.Contains(file.Name, "/.") || !strings.HasSuffix(file.Name, "ml") {
			continue
		}
		for _, c := range split(string(file.Data)) {
			out = append(out, c.text)
		}
	}
	return out
}

// valuesOf are the values of all objects, by kind and name.
func valuesOf(set *source.Set) map[string]any {
	out := map[string]any{}
	eachObject(set, func(value any, at reason.Origin, _ source.State) {
		out[at.Object()] = reflect.ValueOf(value).Elem().Interface()
	})
	return out
}
