package cli

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"windrose.dev/windrose/internal/proxy/exchange"
)

// TestExplainCommand asks a directory and a running process the same question and
// compares the results: they differ only in what the process alone knows.
func TestExplainCommand(t *testing.T) {
	t.Chdir("../..")
	ports := freePorts(t, 3)
	admin := "127.0.0.1:" + ports[2]
	startRun(t, "examples/gateway", "--admin", admin, "--publish", "80=127.0.0.1:"+ports[0], "--publish", "443=127.0.0.1:"+ports[1])
	ask := func(args ...string) (answer exchange.Explanation, code int) {
		var out strings.Builder
		code = Main("", append([]string{"explain", "-o", "json"}, args...), &out, io.Discard)
		if err := json.Unmarshal([]byte(out.String()), &answer); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, &out)
		}
		return answer, code
	}
	for _, request := range [][]string{
		{"https://store.localhost/"},
		{"-H", "x-version: next", "https://store.localhost:8443/api"},
		{"-X", "POST", "http://store.localhost/a?b"},
		{"https://other.localhost/"},
	} {
		offline, offlineCode := ask(append([]string{"-f", "examples/gateway"}, request...)...)
		live, liveCode := ask(append([]string{"--admin", admin}, request...)...)
		if offlineCode != liveCode || (offlineCode == 0) != offline.Matched() {
			t.Errorf("%v: exit status %d offline, %d live", request, offlineCode, liveCode)
		}
		if offline.Matched() != live.Matched() || offline.Matched() && *offline.Rule != *live.Rule {
			t.Errorf("%v: %+v offline, %+v live", request, offline.Rule, live.Rule)
		}
	}
	live, _ := ask("--admin", admin, "https://store.localhost/")
	if n := len(live.Forward.Backends[0].Endpoints); n != 2 {
		t.Errorf("%d endpoints", n)
	}
}

func TestExplainErrors(t *testing.T) {
	for want, args := range map[string][]string{
		"is not a URL":          {"-f", "../../examples/shop", "ftp://x/"},
		"no listener for":       {"-f", "../../examples/gateway", "--gateway", "a/b", "http://x/"},
		"start one with":        {"--admin", "127.0.0.1:1", "http://x/"},
		"is not 'Name: value'":  {"-f", "../../examples/shop", "-H", "x", "http://x/"},
		"write text or json":    {"-f", "../../examples/shop", "-o", "yaml", "http://x/"},
		"no rule takes this":    {"-f", "../../examples/shop", "http://nowhere.example/"},
		"no such file or direc": {"-f", "nowhere", "http://x/"},
	} {
		var errOut strings.Builder
		if code := Main("", append([]string{"explain"}, args...), io.Discard, &errOut); code != 1 || !strings.Contains(errOut.String(), want) {
			t.Errorf("%v: exit status %d: %s", args, code, &errOut)
		}
	}
}

// TestTranslateRoutes: the routing table, and what changes for traffic between two
// directories.
func TestTranslateRoutes(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	plain := strings.Replace(runIngress, "  tls: [{hosts: [a.localhost], secretName: made}]\n", "", 1)
	was, is := write("was.yaml", plain), write("is.yaml", strings.Replace(plain, "path: /a,", "path: /b,", 1))
	run := func(args ...string) string {
		var out strings.Builder
		Main("", append([]string{"translate"}, args...), &out, io.Discard)
		return out.String()
	}
	if got := run("-f", was, "--to", "routes"); !strings.Contains(got, "a.localhost  /a/…") || !strings.Contains(got, "was.yaml:") {
		t.Errorf("%s", got)
	}
	got := run("-f", is, "--diff", was)
	if !strings.Contains(got, "+  80  a.localhost  /b/…") || !strings.Contains(got, "-  80  a.localhost  /a/…") {
		t.Errorf("%s", got)
	}
	if got := run("-f", was, "--diff", write("same.yaml", "# only a comment\n"+plain)); got != "nothing changes for traffic\n" {
		t.Errorf("%s", got)
	}
}
