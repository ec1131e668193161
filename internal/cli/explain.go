package cli

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/observe"
	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/proxy/filter"
	"windrose.dev/windrose/internal/proxy/serve"
	"windrose.dev/windrose/internal/proxy/sock"
	"windrose.dev/windrose/internal/proxy/upstream"
	"windrose.dev/windrose/internal/reason"
)

const explainLong = `Walk one request through the routing and say why it goes where it goes: the
rule that wins, each rule that loses and the first condition that it fails,
what filters do to the request, and which backends and endpoints can get it.

With -f it asks what a directory would do; pods are not started for that, so
that only endpoints that stand in the directory are known. Without it, it asks
the running process at --admin. Nothing is sent to any backend.

The exit status is 0 when a rule takes the request, and 1 when none does.`

const explainExample = `  windrose explain -f examples/shop https://shop.localhost/cart
  windrose explain -X POST -H 'x-env: canary' http://shop.localhost:8080/`

type explainFlags struct {
	files           []string
	admin           string
	method, gateway string
	client, output  string
	headers         []string
	class           string
	ignoreGuards    bool
}

func explainCommand() *cobra.Command {
	var flags explainFlags
	cmd := &cobra.Command{
		Use: "explain URL", Short: "say where a request goes, and why",
		Long: explainLong, Example: explainExample,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runExplain(cmd.OutOrStdout(), args[0], flags)
		},
	}
	f := cmd.Flags()
	f.StringArrayVarP(&flags.files, "filename", "f", nil, "directory or file with resources, may be repeated (default: ask the running process)")
	f.StringVar(&flags.admin, "admin", serve.DefaultAdmin, "address of the admin API of the running process")
	f.StringVarP(&flags.method, "request", "X", "GET", "method")
	f.StringArrayVarP(&flags.headers, "header", "H", nil, "header field 'Name: value', may be repeated; Host replaces the URL's")
	f.StringVar(&flags.gateway, "gateway", "", "NAMESPACE/NAME of the Gateway, where each has ports of its own")
	f.StringVar(&flags.client, "client", "127.0.0.1", "address of the client")
	f.StringVarP(&flags.output, "output", "o", "text", "text or json")
	addTranslationFlags(cmd, &flags.class, &flags.ignoreGuards)
	return cmd
}

// errNoRule is the end of an explanation in which no rule takes the request.
var errNoRule = errors.New("no rule takes this request")

func runExplain(out io.Writer, to string, flags explainFlags) error {
	if flags.output != "text" && flags.output != "json" {
		return fmt.Errorf("-o %s: write text or json", flags.output)
	}
	question, err := questionOf(to, flags)
	if err != nil {
		return err
	}
	var answer *exchange.Explanation
	if len(flags.files) > 0 {
		answer, err = explainFiles(question, flags)
	} else {
		answer, err = explainLive(question, flags.admin)
	}
	if err != nil {
		return err
	}
	if flags.output == "json" {
		err = writeJSON(out, answer)
	} else {
		err = writeExplanation(out, answer, paintFor(out))
	}
	if err == nil && !answer.Matched() {
		return errNoRule
	}
	return err
}

func questionOf(to string, flags explainFlags) (exchange.Question, error) {
	if !strings.Contains(to, "://") {
		to = "http://" + to
	}
	client, err := netip.ParseAddr(flags.client)
	if err != nil {
		return exchange.Question{}, fmt.Errorf("--client: %w", err)
	}
	q := exchange.Question{Method: flags.method, URL: to, Gateway: flags.gateway, Client: client}
	for _, h := range flags.headers {
		name, value, found := strings.Cut(h, ":")
		if !found {
			return q, fmt.Errorf("-H %q is not 'Name: value'", h)
		}
		q.Headers = append(q.Headers, model.Header{Name: strings.TrimSpace(name), Value: strings.TrimSpace(value)})
	}
	return q, nil
}

// explainFiles compiles what a directory comes to, as a proxy would.
func explainFiles(q exchange.Question, flags explainFlags) (*exchange.Explanation, error) {
	result, err := translateFiles(translateFlags{class: flags.class, ignoreGuards: flags.ignoreGuards}, flags.files)
	if err != nil {
		return nil, err
	}
	compiler := exchange.Compiler{
		Filters: filter.Table(), Metrics: observe.NewMetrics(1),
		Registry: upstream.NewRegistry(upstream.Config{Shards: 1, Clock: sock.NewClock()}),
	}
	generation, _, err := compiler.Compile(result.Snapshot, nil)
	if err != nil {
		return nil, err
	}
	return exchange.Explain(generation, q)
}

// explainLive asks a running process.
func explainLive(q exchange.Question, admin string) (*exchange.Explanation, error) {
	ask := url.Values{"url": {q.URL}, "method": {q.Method}, "gateway": {q.Gateway}, "client": {q.Client.String()}}
	for _, h := range q.Headers {
		ask.Add("header", h.Name+": "+h.Value)
	}
	client := http.Client{Timeout: 10 * time.Second}
	response, err := client.Get("http://" + admin + "/explain?" + ask.Encode())
	if err != nil {
		return nil, fmt.Errorf("asking the running process: %w; start one with windrose run, name its --admin address, or explain a directory with -f", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 64<<20))
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, errors.New(strings.TrimSpace(string(body)))
	}
	var answer exchange.Explanation
	return &answer, json.Unmarshal(body, &answer)
}

// paint writes text in a colour, where there are colours.
type paint func(colour, text string) string

// The colours, as ANSI escapes have them.
const (
	green = "32"
	red   = "31"
	grey  = "90"
	bold  = "1"
)

// paintFor colours what goes to a terminal, unless NO_COLOR is set
// (https://no-color.org).
func paintFor(out io.Writer) paint {
	file, isFile := out.(*os.File)
	if isFile && os.Getenv("NO_COLOR") == "" {
		if info, err := file.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			return func(colour, text string) string { return "\x1b[" + colour + "m" + text + "\x1b[0m" }
		}
	}
	return func(_, text string) string { return text }
}

// maxLostLines bounds the losing rules of one block in the text; -o json has
// them all.
const maxLostLines = 20

// writeExplanation writes an explanation for people.
func writeExplanation(out io.Writer, e *exchange.Explanation, p paint) error {
	w := &explainWriter{p: p}
	w.line("request", "%s %s", e.Method, e.URL)
	w.line("listener", "%s%s", e.Listener, map[bool]string{false: ", nothing is served there"}[e.Open])
	for _, h := range e.Hosts {
		w.host(h)
	}
	if len(e.Hosts) == 0 && e.Open {
		w.line("host", "%s: %s", cmp.Or(e.Host, "none"), p(red, "no host of the listener stands for it"))
	}
	if e.Rule == nil {
		w.line("rule", "%s", p(red, "none takes the request"))
	} else {
		w.line("rule", "%s %s", p(green, e.Rule.ID), p(grey, "at "+e.Rule.At))
		w.line("", "%s", p(grey, strings.TrimSpace(e.Rule.Object+" "+e.Rule.Field)))
		w.line("does", "%s", e.Rule.Does)
	}
	for _, f := range e.Filters {
		w.filter(f)
	}
	if e.Answer != nil {
		w.answer("answer", e.Answer)
	}
	if e.Forward != nil && e.Answer == nil {
		w.forward(e.Forward)
	}
	_, err := io.WriteString(out, w.b.String())
	return err
}

type explainWriter struct {
	b strings.Builder
	p paint
}

// line writes a label and what stands behind it, aligned.
func (w *explainWriter) line(label, format string, args ...any) {
	fmt.Fprintf(&w.b, "%s %s\n", w.p(bold, fmt.Sprintf("%-9s", label)), fmt.Sprintf(format, args...))
}

func (w *explainWriter) host(h exchange.ExplainedHost) {
	note := ""
	if h.Fallback {
		note = w.p(grey, " (a miss goes on to the next host)")
	}
	w.line("host", "%s%s", h.Name, note)
	for _, b := range h.Blocks {
		w.line("  block", "%s, path %s", b.Dialect, b.Path)
		for i, lost := range b.Lost {
			if i == maxLostLines {
				w.line("", "%s", w.p(grey, fmt.Sprintf("… and %d more; -o json has them all", len(b.Lost)-i)))
				break
			}
			w.line("  lost", "%s %s", lost.Rule, w.p(grey, "at "+lost.At))
			w.line("", "  %s", lostBy(lost))
		}
	}
}

// lostBy says why a rule lost.
func lostBy(l exchange.Lost) string {
	if l.Failed == "order" {
		return "it matches, but " + l.Expected + " is more specific or older"
	}
	got := "none"
	if l.Got != "" {
		got = l.Got
	}
	return reason.Printable(fmt.Sprintf("%s: wants %s, the request has %s", l.Failed, l.Expected, got))
}

func (w *explainWriter) filter(f exchange.Effect) {
	if len(f.Changes) == 0 {
		w.line("filter", "%s, %s", f.Filter, w.p(grey, "no effect"))
		return
	}
	w.line("filter", "%s", f.Filter)
	for _, change := range f.Changes {
		colour := green
		if change[0] == '-' {
			colour = red
		}
		w.line("", "  %s", w.p(colour, change[:1]+" "+change[1:]))
	}
}

func (w *explainWriter) answer(label string, a *exchange.ExplainedAnswer) {
	text := fmt.Sprintf("%d %s", a.Status, a.Outcome)
	if a.Why != "" {
		text += ": " + a.Why
	}
	if a.Location != "" {
		text += ", to " + a.Location
	}
	w.line(label, "%s", reason.Printable(text))
}

func (w *explainWriter) forward(f *exchange.ExplainedForward) {
	w.line("forward", "%s, Host %s", f.Target, f.Host)
	for _, b := range f.Backends {
		name := b.Service
		if b.Answer != nil {
			name = fmt.Sprintf("answers %d %s: %s", b.Answer.Status, b.Answer.Outcome, b.Answer.Why)
		}
		w.line("  to", "%s, weight %d, %.3g %% of the requests", name, b.Weight, b.Share)
		for _, ep := range b.Endpoints {
			state := w.p(green, "in")
			if ep.Out != "" {
				state = w.p(red, "out") + ": " + ep.Out
			}
			w.line("", "  %s %s %s", ep.Addr, ep.Pod, state)
		}
		if len(b.Endpoints) == 0 && b.Answer == nil {
			w.line("", "  %s", w.p(red, "no endpoint: it would answer 503"))
		}
	}
	for _, limit := range f.Limits {
		w.line("limit", "%s", limit)
	}
}
