package cli

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"strings"

	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/reason"
)

// paint returns text in a colour, if colours are on.
type paint func(colour, text string) string

// The colours, as ANSI escape codes.
const (
	green = "32"
	red   = "31"
	grey  = "90"
	bold  = "1"
)

// paintFor turns colours on if out is a terminal and NO_COLOR is not set
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

// maxLostLines bounds the losing rules that the text shows for one block; -o json shows
// all.
const maxLostLines = 20

// writeExplanation writes an explanation for people.
func writeExplanation(out io.Writer, e *exchange.Explanation, p paint) error {
	w := &explainWriter{p: p, layer4: e.Layer4}
	if e.Layer4 {
		w.line("connect", "%s", e.URL)
	} else {
		w.line("request", "%s %s", e.Method, e.URL)
	}
	w.line("listener", "%s%s", e.Listener, map[bool]string{false: ", nothing is served there"}[e.Open])
	for _, h := range e.Hosts {
		w.host(h)
	}
	w.lost(e.LostL4Routes)
	if len(e.Hosts) == 0 && e.Open && !e.Layer4 {
		w.line("host", "%s: %s", cmp.Or(e.Host, "none"), p(red, "no host of the listener stands for it"))
	}
	if e.Rule == nil {
		w.line("rule", "%s", p(red, "none takes the "+w.thing()))
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
	// layer4 means that the explanation is about a connection, not a request.
	layer4 bool
}

// line writes a label and, aligned, the text after it.
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
		w.lost(b.Lost)
	}
}

func (w *explainWriter) lost(all []exchange.Lost) {
	for i, lost := range all {
		if i == maxLostLines {
			w.line("", "%s", w.p(grey, fmt.Sprintf("… and %d more; -o json has them all", len(all)-i)))
			break
		}
		w.line("  lost", "%s %s", lost.Rule, w.p(grey, "at "+lost.At))
		w.line("", "  %s", w.lostBy(lost))
	}
}

// lostBy says why a rule lost.
func (w *explainWriter) lostBy(l exchange.Lost) string {
	if l.Failed == "order" {
		return "it matches, but " + l.Expected + " is more specific or older"
	}
	got := "none"
	if l.Got != "" {
		got = l.Got
	}
	return reason.Printable(fmt.Sprintf("%s: wants %s, the %s has %s", l.Failed, l.Expected, w.thing(), got))
}

// thing names what is explained: a request or a connection.
func (w *explainWriter) thing() string {
	if w.layer4 {
		return "connection"
	}
	return "request"
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
	if w.layer4 {
		text = "refused, " + a.Outcome
	}
	if a.Why != "" {
		text += ": " + a.Why
	}
	if a.Location != "" {
		text += ", to " + a.Location
	}
	w.line(label, "%s", reason.Printable(text))
}

func (w *explainWriter) forward(f *exchange.ExplainedForward) {
	if !w.layer4 {
		w.line("forward", "%s, Host %s", f.Target, f.Host)
	}
	for _, b := range f.Backends {
		name := b.Service
		if b.Answer != nil {
			name = fmt.Sprintf("answers %d %s: %s", b.Answer.Status, b.Answer.Outcome, b.Answer.Why)
			if w.layer4 {
				name = fmt.Sprintf("refuses, %s: %s", b.Answer.Outcome, b.Answer.Why)
			}
		}
		w.line("  to", "%s, weight %d, %.3g %% of the %ss", name, b.Weight, b.Share, w.thing())
		for _, ep := range b.Endpoints {
			state := w.p(green, "in")
			if ep.Out != "" {
				state = w.p(red, "out") + ": " + ep.Out
			}
			w.line("", "  %s %s%s %s", ep.Addr, cmp.Or(ep.Pod, ep.Name), factsOf(ep), state)
		}
		if len(b.Endpoints) == 0 && b.Answer == nil {
			w.line("", "  %s", w.p(red, "no endpoint: it would "+map[bool]string{false: "answer 503", true: "be refused"}[w.layer4]))
		}
	}
	for _, limit := range f.Limits {
		w.line("limit", "%s", limit)
	}
}

// factsOf describes an endpoint, apart from its address.
func factsOf(ep exchange.ExplainedEndpoint) string {
	out := ""
	if ep.Locality != "" {
		out = " in " + ep.Locality
	}
	if ep.Weight > 1 {
		out += fmt.Sprintf(" weight %d", ep.Weight)
	}
	if ep.Active > 0 {
		out += fmt.Sprintf(" active %d", ep.Active)
	}
	if ep.Failures > 0 {
		out += fmt.Sprintf(" failures %d", ep.Failures)
	}
	return out
}
