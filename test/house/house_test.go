// Package house holds tests of the house itself: who may import whom, and that
// nothing is generated and stale.
package house

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "windrose.dev/windrose/"

// wall names what must never reach Kubernetes code, not even through others.
var wall = []string{
	"internal/reason", "internal/model", "internal/observe", "internal/identity",
	"internal/proxy", "internal/node", "internal/push", "cmd/windrose-proxy", "cmd/windrose-gateway",
}

const wallReason = `A data plane holds no Kubernetes credentials, a sidecar stays at 10 MB, and the
engine is tested without a cluster (DESIGN: the wall).`

// walled are the modules that must not be reached.
var walled = []string{"k8s.io/", "sigs.k8s.io/", "istio.io/"}

// slim names packages that the mesh's data plane must not link.
var slim = []string{"github.com/corazawaf", "github.com/tetratelabs/wazero", "github.com/coreos/go-oidc", "go.opentelemetry.io/otel/sdk", "github.com/quic-go"}

// mayImport lists, for each package, the packages of Windrose that it may
// import directly; a name covers what is below it. A package that is not
// listed may import nothing.
var mayImport = map[string][]string{
	"internal/reason":            {},
	"internal/model":             {"internal/reason"},
	"internal/observe":           {"internal/reason", "internal/model"},
	"internal/proxy/msg":         {},
	"internal/proxy/sock":        {},
	"internal/proxy/wire/http1":  {"internal/reason", "internal/proxy/msg"},
	"internal/proxy/route":       {"internal/model", "internal/proxy/msg"},
	"internal/proxy/balance":     {"internal/model"},
	"internal/proxy/upstream":    {"internal/model", "internal/observe", "internal/proxy/balance", "internal/proxy/wire", "internal/proxy/sock"},
	"internal/proxy/exchange":    {"internal/reason", "internal/model", "internal/observe", "internal/proxy/msg", "internal/proxy/wire", "internal/proxy/route", "internal/proxy/balance", "internal/proxy/upstream"},
	"internal/proxy/filter":      {"internal/reason", "internal/model", "internal/proxy/exchange", "internal/proxy/msg", "internal/proxy/wire", "internal/proxy/route"},
	"internal/proxy":             {"internal/reason", "internal/model", "internal/observe", "internal/proxy/msg", "internal/proxy/sock", "internal/proxy/wire", "internal/proxy/route", "internal/proxy/balance", "internal/proxy/upstream", "internal/proxy/exchange"},
	"internal/proxy/admin":       {"internal/model", "internal/observe", "internal/proxy"},
	"internal/proxy/serve":       {"internal/reason", "internal/model", "internal/observe", "internal/proxy"},
	"internal/source/crd":        {},
	"internal/source/crd/gen":    {},
	"internal/source":            {"internal/reason", "internal/source/crd"},
	"internal/translate/backend": {"internal/reason", "internal/model", "internal/source"},
	"internal/translate/ingress": {"internal/reason", "internal/model", "internal/source", "internal/translate/backend"},
	"internal/translate":         {"internal/reason", "internal/model", "internal/source", "internal/translate"},
	"internal/control":           {"internal/reason", "internal/model", "internal/observe", "internal/source", "internal/translate", "internal/proxy"},
	"internal/standalone":        {"internal/reason", "internal/model", "internal/source", "internal/control", "internal/proxy"},
	"internal/call":              {},
	"internal/cli":               {"internal"},
	"cmd/windrose":               {"internal/cli"},
	"cmd/windrose-proxy":         {"internal/proxy"},
	"cmd/windrose-gateway":       {"internal/proxy"},
	"docs/gen":                   {"internal"},
	"bench":                      {"internal", "bench/rig"},
	"bench/rig":                  {"internal"},
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

func TestImportsOnlyGoDown(t *testing.T) {
	for _, p := range packages(t) {
		if strings.HasPrefix(p.ImportPath, "test/") {
			continue
		}
		allowed, listed := mayImport[p.ImportPath]
		if !listed && !strings.HasSuffix(p.ImportPath, "test") {
			t.Errorf("%s has no rule: add it to mayImport, and to the table in ARCHITECTURE.md", p.ImportPath)
		}
		for _, imported := range p.Imports {
			ours, isOurs := strings.CutPrefix(imported, module)
			if isOurs && listed && !covers(allowed, ours) {
				t.Errorf("%s imports %s, and may import only %v: imports go downwards", p.ImportPath, ours, allowed)
			}
		}
	}
}

// TestNetHTTPStaysOffTheDataPath: the codecs and the exchange are ours.
func TestNetHTTPStaysOffTheDataPath(t *testing.T) {
	for _, p := range packages(t) {
		if strings.HasPrefix(p.ImportPath, "internal/proxy") && p.ImportPath != "internal/proxy/admin" && p.ImportPath != "internal/proxy/serve" && slices.Contains(p.Deps, "net/http") {
			t.Errorf("%s links net/http", p.ImportPath)
		}
	}
}
