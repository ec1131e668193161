package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"windrose.dev/windrose/test/port"
)

// step is one command of a README and the lines that its output must contain.
type step struct {
	command string
	want    []string
}

// consoleSteps reads the ```console blocks of a Markdown page.
func consoleSteps(page string) []step {
	var steps []step
	inside := false
	for line := range strings.Lines(page) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, "```"):
			inside = line == "```console"
		case inside && strings.HasPrefix(line, "$ "):
			steps = append(steps, step{command: strings.TrimPrefix(line, "$ ")})
		case inside:
			steps[len(steps)-1].want = append(steps[len(steps)-1].want, line)
		}
	}
	return steps
}

// pattern returns a regular expression for a line in which … stands for any text.
func pattern(line string) *regexp.Regexp {
	return regexp.MustCompile("(?m)^" + strings.ReplaceAll(regexp.QuoteMeta(line), "…", ".*") + "$")
}

// readySignal keeps what is written, and closes ready when it contains marker.
type readySignal struct {
	mu     sync.Mutex
	text   bytes.Buffer
	marker string
	ready  chan struct{}
	seen   bool
}

func (w *readySignal) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.Write(p)
	if !w.seen && strings.Contains(w.text.String(), w.marker) {
		w.seen = true
		close(w.ready)
	}
	return len(p), nil
}

func (w *readySignal) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// freePorts returns ports on which nothing listens.
func freePorts(t *testing.T, n int) []string {
	t.Helper()
	out := make([]string, n)
	for i := range out {
		out[i] = port.Free(t)
	}
	return out
}

// startRun runs `windrose run` until the test ends and returns its output.
func startRun(t *testing.T, args ...string) *readySignal {
	t.Helper()
	out := &readySignal{ready: make(chan struct{}), marker: "\nready\n"}
	startRunTo(t, out, out, args...)
	return out
}

// startRunTo runs `windrose run` and returns when it has printed on out that it is ready.
// The returned function ends the run, and returns when it has ended.
func startRunTo(t *testing.T, out *readySignal, errOut io.Writer, args ...string) (end func()) {
	t.Helper()
	root := Root("")
	root.SetArgs(append([]string{"run"}, args...))
	root.SetOut(out)
	root.SetErr(errOut)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- root.ExecuteContext(ctx) }()
	end = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	t.Cleanup(end)
	select {
	case <-out.ready:
	case err := <-done:
		done <- nil
		t.Fatalf("run ended: %v\n%s", err, out)
	}
	return end
}

// TestREADMEs runs the commands of each example's README and compares their output with
// that in the README. It uses other ports, so that it can run beside a real run.
func TestREADMEs(t *testing.T) {
	t.Chdir("../..")
	for _, example := range []string{"shop", "gateway", "l4"} {
		t.Run(example, func(t *testing.T) { runREADME(t, "examples/"+example) })
	}
}

// words splits a command as a shell does, with single quotes.
func words(command string) []string {
	var out []string
	for i, part := range strings.Split(command, "'") {
		if i%2 == 1 {
			out = append(out, part)
		} else {
			out = append(out, strings.Fields(part)...)
		}
	}
	return out
}

func runREADME(t *testing.T, dir string) {
	page, err := os.ReadFile(dir + "/README.md")
	if err != nil {
		t.Fatal(err)
	}
	ports := freePorts(t, 5)
	replace := strings.NewReplacer(
		":8080/", ":"+ports[0]+"/", ":8443", ":"+ports[1], "127.0.0.1:5432", "127.0.0.1:"+ports[3], "127.0.0.1:5353", "127.0.0.1:"+ports[4])
	out := startRun(t, dir, "--admin", "127.0.0.1:"+ports[2],
		"--publish", "80=127.0.0.1:"+ports[0], "--publish", "443=127.0.0.1:"+ports[1],
		"--publish", "5432=127.0.0.1:"+ports[3], "--publish", "5353=127.0.0.1:"+ports[4])
	table := regexp.MustCompile("(?s)```\n(ENTRY POINT.*?)```").FindStringSubmatch(string(page))
	if table == nil {
		table = []string{"", ""}
	}
	for line := range strings.Lines(replace.Replace(table[1])) {
		if words := strings.Fields(line); !strings.Contains(squeeze(out.String()), strings.Join(words, " ")) && !strings.Contains(line, "(?i)") {
			t.Errorf("run does not print %q:\n%s", line, out)
		}
	}
	steps := consoleSteps(string(page))
	if len(steps) < 4 {
		t.Fatalf("only %d commands found", len(steps))
	}
	for _, s := range steps {
		var got bytes.Buffer
		args := words(replace.Replace(s.command))
		if code := Main("", args[1:], &got, io.Discard); code != 0 {
			t.Errorf("%s: exit status %d\n%s", s.command, code, &got)
		}
		for _, line := range s.want {
			if !pattern(replace.Replace(line)).MatchString(strings.ReplaceAll(got.String(), "\r", "")) {
				t.Errorf("%s\nprints no line like\n%s\nbut\n%s", s.command, line, &got)
			}
		}
	}
}

func squeeze(text string) string {
	return regexp.MustCompile(` +`).ReplaceAllString(text, " ")
}

func TestTakenPortNamesTheFlag(t *testing.T) {
	t.Chdir("../..")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ports := freePorts(t, 1)
	var errOut bytes.Buffer
	code := Main("", []string{"run", "examples/shop", "--admin", "127.0.0.1:" + ports[0], "--publish", "80=" + l.Addr().String()}, io.Discard, &errOut)
	want := fmt.Sprintf("port 80 cannot be opened at %s", l.Addr())
	if code != 1 || !strings.Contains(errOut.String(), want) || !strings.Contains(errOut.String(), "--publish 80=ADDR:PORT") {
		t.Errorf("exit status %d: %s", code, &errOut)
	}
}

func TestNothingToServe(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/a.yaml", []byte("apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: x}\nspec: {rulez: []}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var errOut bytes.Buffer
	code := Main("", []string{"run", dir, "--admin", "127.0.0.1:" + freePorts(t, 1)[0]}, io.Discard, &errOut)
	for _, want := range []string{"a.yaml:4: error UnknownField: Ingress default/x: spec.rulez:", "nothing to serve"} {
		if code != 1 || !strings.Contains(errOut.String(), want) {
			t.Errorf("exit status %d, want %q in: %s", code, want, &errOut)
		}
	}
	t.Chdir("../..")
	errOut.Reset()
	code = Main("", []string{"run", "examples/shop", "--class", "other", "--admin", "127.0.0.1:" + freePorts(t, 1)[0]}, io.Discard, &errOut)
	if want := "nothing to serve: --class other leaves out 3 resources of other classes"; code != 1 || !strings.Contains(errOut.String(), want) {
		t.Errorf("exit status %d, want %q in: %s", code, want, &errOut)
	}
	if code := Main("", []string{"run", dir + "/none"}, io.Discard, &errOut); code != 1 {
		t.Error("a directory that does not exist must be an error")
	}
}
