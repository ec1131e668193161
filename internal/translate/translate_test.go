package translate

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
	"windrose.dev/windrose/internal/source/dir"
	"windrose.dev/windrose/internal/translate/gateway"
)

var update = flag.Bool("update", false, "write what the translation gives into the cases")

// TestCases translates the YAML of each case and compares the model's text form and the
// Reports with those in the case. The comment of a case may give options, one a line:
// class NAME, compress LIST, ignore-guards, every-class, own-ports (which gives each
// Gateway an address of its own), and external-names.
func TestCases(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { runCase(t, file) })
	}
}

func runCase(t *testing.T, file string) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	want := map[string]string{"want.model": "", "want.reports": "", "want.status": ""}
	for _, f := range archive.Files {
		if _, expected := want[f.Name]; expected {
			want[f.Name] = string(f.Data)
			continue
		}
		if err := os.WriteFile(filepath.Join(folder, f.Name), f.Data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	set := dir.NewLoader(dir.Config{Dirs: []string{folder}, Guards: Guards}).Load()
	result := Build(set, optionsOf(string(archive.Comment)))
	snapshot := result.Snapshot
	if err := model.Validate(&snapshot.Parts); err != nil {
		t.Errorf("the snapshot is not valid: %v", err)
	}
	got := map[string]string{"want.model": strings.ReplaceAll(model.Format(snapshot), folder+"/", ""), "want.reports": "", "want.status": result.Status.String()}
	for _, r := range result.Reports {
		got["want.reports"] += strings.ReplaceAll(r.String(), folder+"/", "") + "\n"
	}
	if *update {
		writeCase(t, file, archive, got)
		return
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if diff := cmp.Diff(want[name], got[name]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func optionsOf(comment string) Options {
	opts := Options{CloseUnsound: true}
	for line := range strings.Lines(comment) {
		switch words := strings.Fields(line); {
		case len(words) == 2 && words[0] == "class":
			opts.Ingress.Class = words[1]
		case len(words) == 2 && words[0] == "compress":
			compress := model.Compress{Encodings: strings.Split(words[1], ","), MinLength: 1000}
			opts.Ingress.Compress, opts.Gateway.Compress = compress, compress
		case len(words) == 1 && words[0] == "ignore-guards":
			opts.Ingress.IgnoreGuards = true
		case len(words) == 1 && words[0] == "every-class":
			opts.Gateway.EveryClass = true
		case len(words) == 1 && words[0] == "external-names":
			opts.Gateway.ExternalNames = true
		case len(words) == 1 && words[0] == "own-ports":
			opts.Gateway.Addresses = addresses
		}
	}
	return opts
}

// addresses gives a Gateway those IP addresses of 127.0.0.0/8 that it asks for, and
// 127.0.0.7 if it asks for none.
func addresses(_ source.Name, asked []gatewayv1.GatewaySpecAddress) ([]gatewayv1.GatewayStatusAddress, gateway.Problem) {
	ip := gatewayv1.IPAddressType
	var out []gatewayv1.GatewayStatusAddress
	for _, a := range asked {
		if a.Type != nil && *a.Type != ip {
			return nil, gateway.Problem{Reason: gatewayv1.GatewayReasonUnsupportedAddress, Message: "only addresses of type IPAddress can be given"}
		}
	}
	for _, a := range asked {
		if a.Value != "" && !strings.HasPrefix(a.Value, "127.") {
			return nil, gateway.Problem{Reason: gatewayv1.GatewayReasonAddressNotUsable, Message: a.Value + " is not ours"}
		}
		if a.Value != "" {
			out = append(out, gatewayv1.GatewayStatusAddress{Type: &ip, Value: a.Value})
		}
	}
	if len(out) == 0 {
		out = append(out, gatewayv1.GatewayStatusAddress{Type: &ip, Value: "127.0.0.7"})
	}
	return out, gateway.Problem{}
}

func writeCase(t *testing.T, file string, archive *txtar.Archive, got map[string]string) {
	archive.Files = slices.DeleteFunc(archive.Files, func(f txtar.File) bool { _, want := got[f.Name]; return want })
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if name == "want.status" && got[name] == "" {
			continue
		}
		archive.Files = append(archive.Files, txtar.File{Name: name, Data: []byte(got[name])})
	}
	if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestExpressionsAreBounded: one tenant's expressions cannot slow all requests of a host.
func TestExpressionsAreBounded(t *testing.T) {
	var text strings.Builder
	text.WriteString("apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: many, annotations: {nginx.ingress.kubernetes.io/use-regex: \"true\"}}\nspec:\n  rules:\n  - host: a.example.com\n    http:\n      paths:\n")
	for i := range 1200 {
		fmt.Fprintf(&text, "      - {path: \"/p%d\", pathType: ImplementationSpecific, backend: {service: {name: x, port: {number: 80}}}}\n", i)
	}
	file := filepath.Join(t.TempDir(), "a.yaml")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	result := Build(dir.NewLoader(dir.Config{Dirs: []string{file}}).Load(), Options{})
	snapshot, large := result.Snapshot, 0
	for _, r := range result.Reports {
		if r.Code == reason.TooLarge {
			large++
		}
	}
	if rules := len(snapshot.Config.Hosts[0].Blocks[0].Rules); rules != 1000 || large != 200 {
		t.Errorf("%d rules, %d reports", rules, large)
	}
}

// FuzzBuild: whatever a file contains, Build makes a Snapshot that the wire form can
// carry.
func FuzzBuild(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.txtar")
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(archive.Files[0].Data)
	}
	folder := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		file := filepath.Join(folder, fmt.Sprint(os.Getpid(), ".yaml"))
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		snapshot := Build(dir.NewLoader(dir.Config{Dirs: []string{file}, Guards: Guards}).Load(), Options{CloseUnsound: true}).Snapshot
		data, err := model.Encode(snapshot)
		if err != nil {
			t.Fatal(err)
		}
		if decoded, err := model.Decode(data); err != nil || decoded.Root != snapshot.Root {
			t.Fatalf("%v\n%s", err, model.Format(snapshot))
		}
	})
}

// TestEveryRuleHasAnOrigin: explain and the log can name the origin of every rule.
func TestEveryRuleHasAnOrigin(t *testing.T) {
	set := dir.NewLoader(dir.Config{Dirs: []string{"../../examples/shop"}, Guards: Guards}).Load()
	snapshot := Build(set, Options{}).Snapshot
	for _, h := range snapshot.Config.Hosts {
		for _, b := range h.Blocks {
			for _, r := range b.Rules {
				if o := snapshot.Origins[r.ID]; o.File == "" || o.Line == 0 || o.Field == "" {
					t.Errorf("rule %s comes from %+v", r.ID, o)
				}
			}
		}
	}
	if slices.ContainsFunc(set.Reports, func(r reason.Report) bool { return r.Severity == reason.Error }) {
		t.Errorf("%v", set.Reports)
	}
}
