// Package house tests the structure of the repository: which packages may import which,
// and that no generated page is stale.
package house

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "windrose.dev/windrose/"

// wall names the packages that must not link Kubernetes code, not even indirectly.
var wall = []string{
	"internal/reason", "internal/model", "internal/observe", "internal/identity",
	"internal/proxy", "internal/node", "internal/push", "cmd/windrose-proxy", "cmd/windrose-gateway",
}

const wallReason = `A data plane holds no Kubernetes credentials, a sidecar stays at 10 MB, and the
engine is tested without a cluster (DESIGN: the wall).`

// walled are the modules that they must not link.
var walled = []string{"k8s.io/", "sigs.k8s.io/", "istio.io/"}

// slim names packages that the mesh's data plane must not link.
var slim = []string{"github.com/corazawaf", "github.com/tetratelabs/wazero", "github.com/coreos/go-oidc", "go.opentelemetry.io/otel/sdk", "github.com/quic-go", "github.com/andybalholm/brotli", "github.com/klauspost/compress"}

// rule says which packages of Windrose a package may import directly. A name also covers
// the packages below it that have rules above this one.
type rule struct {
	path      string
	mayImport []string
}

// rules lists the packages from the bottom: each may import only packages above it in the
// table. A package that is not listed may import nothing. Tests are not checked: they may
// import anything.
var rules = []rule{
	{"internal/reason", nil},
	{"internal/model", []string{"internal/reason"}},
	{"internal/observe", []string{"internal/reason", "internal/model"}},
	{"internal/proxy/msg", []string{"internal/reason"}},
	{"internal/proxy/sock", nil},
	{"internal/proxy/wire/http1", []string{"internal/reason", "internal/proxy/msg"}},
	{"internal/proxy/wire/sniff", nil},
	{"internal/proxy/wire/proxyproto", []string{"internal/proxy/msg"}},
	{"internal/proxy/wire/budget", nil},
	{"internal/proxy/wire/websocket", nil},
	{"internal/proxy/wire/section", []string{"internal/reason", "internal/proxy/msg"}},
	{"internal/proxy/wire/http2", []string{"internal/reason", "internal/proxy/msg", "internal/proxy/wire/budget", "internal/proxy/wire/section"}},
	{"internal/proxy/wire/grpcweb", []string{"internal/reason", "internal/proxy/msg"}},
	{"internal/proxy/mux", []string{"internal/reason", "internal/proxy/msg", "internal/proxy/sock", "internal/proxy/wire"}},
	{"internal/identity", nil},
	{"internal/proxy/policy", []string{"internal/reason", "internal/model", "internal/identity", "internal/proxy/msg", "internal/proxy/wire/proxyproto"}},
	{"internal/proxy/route", []string{"internal/model", "internal/proxy/msg", "internal/proxy/policy"}},
	{"internal/proxy/balance", []string{"internal/model"}},
	{"internal/proxy/resolve", nil},
	{"internal/proxy/settings", []string{"internal/model", "internal/proxy/msg", "internal/proxy/sock"}},
	{"internal/proxy/engine", []string{"internal/observe", "internal/proxy/settings", "internal/proxy/sock"}},
	{"internal/proxy/upstream", []string{"internal/reason", "internal/model", "internal/observe", "internal/proxy/balance", "internal/proxy/mux", "internal/proxy/resolve", "internal/proxy/wire", "internal/proxy/sock"}},
	{"internal/proxy/exchange", []string{"internal/reason", "internal/model", "internal/observe", "internal/identity", "internal/proxy/msg", "internal/proxy/policy", "internal/proxy/wire", "internal/proxy/route", "internal/proxy/balance", "internal/proxy/upstream"}},
	{"internal/proxy/filter", []string{"internal/reason", "internal/model", "internal/proxy/exchange", "internal/proxy/msg", "internal/proxy/policy", "internal/proxy/wire", "internal/proxy/route"}},
	{"internal/proxy/filter/compress", []string{"internal/model", "internal/proxy/exchange", "internal/proxy/msg"}},
	{"internal/proxy/filter/edge", []string{"internal/proxy/exchange", "internal/proxy/filter"}},
	{"internal/proxy/l4", []string{"internal/reason", "internal/model", "internal/observe", "internal/proxy/engine", "internal/proxy/exchange", "internal/proxy/mux", "internal/proxy/policy", "internal/proxy/sock", "internal/proxy/upstream", "internal/proxy/wire"}},
	{"internal/proxy/httpx", []string{"internal/reason", "internal/model", "internal/observe", "internal/proxy/engine", "internal/proxy/exchange", "internal/proxy/l4", "internal/proxy/msg", "internal/proxy/policy", "internal/proxy/mux", "internal/proxy/settings", "internal/proxy/sock", "internal/proxy/upstream", "internal/proxy/wire"}},
	{"internal/proxy/frontend", []string{"internal/reason", "internal/model", "internal/observe", "internal/identity", "internal/proxy/engine", "internal/proxy/exchange", "internal/proxy/httpx", "internal/proxy/l4", "internal/proxy/msg", "internal/proxy/policy", "internal/proxy/mux", "internal/proxy/settings", "internal/proxy/sock", "internal/proxy/upstream", "internal/proxy/wire"}},
	{"internal/proxy", []string{"internal/reason", "internal/model", "internal/observe", "internal/proxy"}},
	{"internal/proxy/wire/http3", []string{"internal/reason", "internal/proxy/msg", "internal/proxy/wire/section"}},
	{"internal/proxy/http3", []string{"internal/reason", "internal/proxy/frontend", "internal/proxy/httpx", "internal/proxy/settings", "internal/proxy/msg", "internal/proxy/sock", "internal/proxy/wire"}},
	{"internal/proxy/admin", []string{"internal/model", "internal/observe", "internal/proxy"}},
	{"internal/proxy/serve", []string{"internal/reason", "internal/model", "internal/observe", "internal/proxy"}},
	{"internal/source/crd", nil},
	{"internal/source/crd/gen", nil},
	{"internal/source", []string{"internal/reason", "internal/source/crd"}},
	{"internal/source/dir", []string{"internal/reason", "internal/source"}},
	{"internal/translate/secret", []string{"internal/reason", "internal/source"}},
	{"internal/translate/backend", []string{"internal/reason", "internal/model", "internal/source", "internal/translate/secret"}},
	{"internal/translate/status", nil},
	{"internal/translate/fragment", []string{"internal/reason", "internal/model", "internal/source", "internal/translate/backend", "internal/translate/status"}},
	{"internal/translate/annotation", []string{"internal/reason", "internal/model"}},
	{"internal/translate/ingress", []string{"internal/reason", "internal/model", "internal/source", "internal/translate/annotation", "internal/translate/backend", "internal/translate/fragment", "internal/translate/secret"}},
	{"internal/translate/gateway", []string{"internal/reason", "internal/model", "internal/source", "internal/translate/annotation", "internal/translate/backend", "internal/translate/fragment", "internal/translate/secret", "internal/translate/status"}},
	{"internal/translate", []string{"internal/reason", "internal/model", "internal/source", "internal/translate"}},
	{"internal/control", []string{"internal/reason", "internal/model", "internal/source", "internal/translate"}},
	{"internal/standalone", []string{"internal/reason", "internal/model", "internal/source", "internal/control", "internal/proxy"}},
	{"internal/call", nil},
	{"internal/cli", []string{"internal"}},
	{"cmd/windrose", []string{"internal/cli"}},
	{"cmd/windrose-proxy", []string{"internal/proxy"}},
	{"cmd/windrose-gateway", []string{"internal/proxy"}},
	{"docs/gen", []string{"internal"}},
	{"bench/rig", []string{"internal"}},
	{"bench/h3load", nil},
	{"bench", []string{"internal", "bench/rig"}},
}

type pkg struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

// packages lists the module's packages without their tests.
func packages(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports,Deps", module+"...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		p.ImportPath = strings.TrimPrefix(p.ImportPath, module)
		all = append(all, p)
	}
}

func covers(rules []string, path string) bool {
	return slices.ContainsFunc(rules, func(rule string) bool {
		return path == rule || strings.HasPrefix(path, rule+"/")
	})
}

func TestWall(t *testing.T) {
	for _, p := range packages(t) {
		if !covers(wall, p.ImportPath) {
			continue
		}
		for _, dep := range p.Deps {
			if slices.ContainsFunc(walled, func(prefix string) bool { return strings.HasPrefix(dep, prefix) }) {
				t.Errorf("%s links %s.\n%s", p.ImportPath, dep, wallReason)
			}
		}
	}
}

func TestMeshDataPlaneIsSlim(t *testing.T) {
	for _, p := range packages(t) {
		for _, dep := range p.Deps {
			if p.ImportPath == "cmd/windrose-proxy" && covers(slim, dep) {
				t.Errorf("%s links %s: a sidecar carries only what the mesh needs", p.ImportPath, dep)
			}
		}
	}
}

// quic are the packages that may import QUIC and its compression.
var quic = []string{"internal/proxy/http3", "internal/proxy/wire/http3"}

// TestOnlyHTTP3ImportsQUIC: the engine knows HTTP/3 only as an interface, so that a
// program without QUIC just does not pass it.
func TestOnlyHTTP3ImportsQUIC(t *testing.T) {
	for _, p := range packages(t) {
		for _, imported := range p.Imports {
			if strings.HasPrefix(imported, "github.com/quic-go/") && !covers(quic, p.ImportPath) && !covers([]string{"bench"}, p.ImportPath) {
				t.Errorf("%s imports %s: only %v may", p.ImportPath, imported, quic)
			}
		}
	}
}

// TestSourceKnowsNoFiles: what a Set is does not depend on where its resources come
// from, so that an API server can be a source as well as a directory.
func TestSourceKnowsNoFiles(t *testing.T) {
	for _, p := range packages(t) {
		for _, imported := range p.Imports {
			if p.ImportPath == "internal/source" && (imported == "os" || strings.Contains(imported, "yaml") || strings.Contains(imported, "fsnotify")) {
				t.Errorf("%s imports %s, which is for internal/source/dir", p.ImportPath, imported)
			}
		}
	}
}

func TestImportsOnlyGoDown(t *testing.T) {
	for _, p := range packages(t) {
		for _, problem := range problems(rules, p) {
			t.Error(problem)
		}
	}
}

// problems returns what is wrong with the imports of one package.
func problems(rules []rule, p pkg) (out []string) {
	if covers([]string{"test"}, p.ImportPath) {
		return nil
	}
	i := position(rules, p.ImportPath)
	if i < 0 {
		return []string{p.ImportPath + " has no rule: add it to rules, and to the table in ARCHITECTURE.md"}
	}
	for _, imported := range p.Imports {
		ours, isOurs := strings.CutPrefix(imported, module)
		if isOurs && (!covers(rules[i].mayImport, ours) || position(rules[:i], ours) < 0) {
			out = append(out, fmt.Sprintf("%s imports %s, and may import only %v, and what stands above it: imports go downwards", p.ImportPath, ours, rules[i].mayImport))
		}
	}
	return out
}

// position returns the package's index in the table, or -1.
func position(rules []rule, path string) int {
	return slices.IndexFunc(rules, func(r rule) bool { return r.path == path })
}

func TestProblems(t *testing.T) {
	table := []rule{{"internal/a", nil}, {"internal/b/low", []string{"internal/a"}}, {"internal/b", []string{"internal/a", "internal/b"}}, {"internal/b/high", []string{"internal/b"}}}
	tests := []struct {
		path, imports string
		want          string
	}{
		{"internal/b", module + "internal/a", ""},
		{"internal/b", module + "internal/b/low", ""},
		{"internal/b", "example.com/internal/b", ""},
		{"internal/b", module + "internal/b/high", "internal/b imports internal/b/high"},
		{"internal/a", module + "internal/b", "internal/a imports internal/b"},
		{"internal/b", module + "internal/ab", "internal/b imports internal/ab"},
		{"internal/c", module + "internal/a", "internal/c has no rule"},
		{"internal/contest", module + "internal/a", "internal/contest has no rule"},
		{"test/house", module + "internal/a", ""},
	}
	for _, tt := range tests {
		got := strings.Join(problems(table, pkg{ImportPath: tt.path, Imports: []string{tt.imports}}), "\n")
		if (got == "") != (tt.want == "") || !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s imports %s: got %q, want %q", tt.path, tt.imports, got, tt.want)
		}
	}
}

// TestRulesNameWhatIsAbove: a rule that names no package above it in the table is either
// useless or points upwards.
func TestRulesNameWhatIsAbove(t *testing.T) {
	for i, r := range rules {
		for _, may := range r.mayImport {
			if !slices.ContainsFunc(rules[:i], func(above rule) bool { return covers([]string{may}, above.path) }) {
				t.Errorf("%s may import %s, which is nothing above it in the table", r.path, may)
			}
		}
	}
}

// TestControlStaysBelowItsUsers: control may import everything above it in the layout of
// DESIGN, and nothing that is built on it.
func TestControlStaysBelowItsUsers(t *testing.T) {
	for _, user := range []string{"internal/standalone", "internal/cli", "internal/call", "cmd/windrose"} {
		got := problems(rules, pkg{ImportPath: "internal/control", Imports: []string{module + user}})
		if len(got) == 0 {
			t.Errorf("control may import %s", user)
		}
	}
}

// linksHTTP are the packages of the engine that may link net/http, with the reason.
var linksHTTP = map[string]string{
	"internal/proxy/admin":           "it serves people and Prometheus",
	"internal/proxy/serve":           "it starts the admin API",
	"internal/proxy/filter/compress": "the brotli package brings a helper for net/http, which is not called",
	"internal/proxy/filter/edge":     "it lists the filter compress",
}

// TestNetHTTPStaysOffTheDataPath: the codecs and the exchange do not use net/http.
func TestNetHTTPStaysOffTheDataPath(t *testing.T) {
	for _, p := range packages(t) {
		if strings.HasPrefix(p.ImportPath, "internal/proxy") && linksHTTP[p.ImportPath] == "" && slices.Contains(p.Deps, "net/http") {
			t.Errorf("%s links net/http", p.ImportPath)
		}
		if strings.HasPrefix(p.ImportPath, "internal/proxy/filter") && slices.Contains(p.Imports, "net/http") {
			t.Errorf("%s imports net/http", p.ImportPath)
		}
	}
}
