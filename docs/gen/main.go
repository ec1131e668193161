// Command gen writes the tables in docs/ from the tables in the code. With -check it
// writes nothing, and fails if a page is stale.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"windrose.dev/windrose/internal/cli"
	"windrose.dev/windrose/internal/observe"
	"windrose.dev/windrose/internal/proxy/admin"
	"windrose.dev/windrose/internal/proxy/serve"
	"windrose.dev/windrose/internal/proxy/settings"
	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/translate/annotation"
	"windrose.dev/windrose/internal/translate/backend"
	"windrose.dev/windrose/internal/translate/gateway"
	"windrose.dev/windrose/internal/translate/ingress"
)

func main() {
	check := flag.Bool("check", false, "fail when a page is stale, and write nothing")
	flag.Parse()
	stale := 0
	for name, page := range pages() {
		path := filepath.Join("docs", name)
		old, _ := os.ReadFile(path)
		if bytes.Equal(old, []byte(page)) {
			continue
		}
		stale++
		if *check {
			fmt.Fprintf(os.Stderr, "%s is stale: run make docs\n", path)
			continue
		}
		if err := os.WriteFile(path, []byte(page), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	if *check && stale > 0 {
		os.Exit(1)
	}
}

func pages() map[string]string {
	return map[string]string{
		"annotations.md": annotations(),
		"reports.md":     reports(),
		"outcomes.md":    outcomes(),
		"metrics.md":     metrics(),
		"settings.md":    limitPage(),
		"commands.md":    commands(),
		"ports.md":       ports(),
	}
}

const generated = "<!-- made by docs/gen from the code; do not edit -->\n\n"

// table returns a Markdown page with a table.
func table(title, intro string, head []string, rows [][]string) string {
	return generated + "# " + title + "\n\n" + intro + "\n\n" + rowsOf(head, rows)
}

// rowsOf returns a table without title and introduction.
func rowsOf(head []string, rows [][]string) string {
	var b strings.Builder
	b.WriteString("| " + strings.Join(head, " | ") + " |\n")
	b.WriteString("|" + strings.Repeat(" --- |", len(head)) + "\n")
	for _, row := range rows {
		for i := range row {
			row[i] = strings.ReplaceAll(row[i], "|", `\|`)
		}
		b.WriteString("| " + strings.Join(row, " | ") + " |\n")
	}
	return b.String()
}

func annotations() string {
	var rows [][]string
	honoured := 0
	for _, a := range ingress.Annotations() {
		state := "reported"
		switch {
		case a.Name == "canary":
			state = "set aside"
		case a.Apply != nil:
			state = "**honoured**"
			honoured++
		case a.HostWide:
			state = "closes its hosts"
		case a.Guard:
			state = "closes its routes"
		}
		doc := a.Doc
		if len(a.Inert) > 0 {
			doc = strings.TrimSpace(doc + " Does nothing when " + strings.Join(a.Inert, " or ") + ".")
		}
		rows = append(rows, []string{"`" + a.Name + "`", a.Group, a.Risk, state, doc})
	}
	intro := fmt.Sprintf("The annotations under `%s` that ingress-nginx documents: %d, of which %d are honoured. "+
		"One that is not honoured is reported on its Ingress. If it guards something, the routes of that Ingress answer 503 "+
		"until it is honoured, unless `--ignore-guards` opens them; the same holds for unknown names that look like guards. "+
		"Risk is what ingress-nginx calls the risk of letting tenants set it. Windrose's own stand below.", ingress.Prefix, len(rows), honoured)
	var own, ours, options [][]string
	for _, a := range annotation.All() {
		own = append(own, []string{"`" + a.Name + "`", a.Kinds, a.Doc})
	}
	for _, o := range gateway.TLSOptions() {
		options = append(options, []string{"`" + o.Name + "`", o.Values, o.Doc})
	}
	for _, a := range backend.Annotations() {
		ours = append(ours, []string{"`" + a.Name + "`", a.Values, a.Doc})
	}
	return table("Annotations", intro, []string{"Annotation", "Group", "Risk", "Here", "Notes"}, rows) +
		"\n## Windrose's own\n\n" + rowsOf([]string{"Annotation", "Of", "What it does"}, own) +
		"\n## On Services\n\n" + rowsOf([]string{"Annotation", "Values", "What it does"}, ours) +
		"\n## TLS options\n\nKeys of `tls.options` of the Gateway API's listeners, and of `spec.options` of BackendTLSPolicies. A listener or policy with a value " +
		"that cannot be understood is not accepted. Keys of others are reported.\n\n" + rowsOf([]string{"Option", "Values", "What it does"}, options)
}

func reports() string {
	var rows [][]string
	for _, row := range reason.Codes() {
		rows = append(rows, []string{"`" + row.Name + "`", row.Severity.String(), row.Doc, row.Fix})
	}
	return table("Reports", "A Report says what is wrong, lost or not honoured in a resource: `file:line: severity Code: object: field: message; fix: …`. "+
		"Reports never stop the rest from being served.", []string{"Code", "Severity", "What it means", "What to do"}, rows)
}

func outcomes() string {
	var rows [][]string
	for _, row := range reason.Outcomes() {
		status := "–"
		if row.Status > 0 {
			status = fmt.Sprint(row.Status)
		}
		rows = append(rows, []string{"`" + row.Name + "`", status, row.Doc, row.Fix})
	}
	return table("Outcomes", "The one code that says how a request ended: in the access log, in metrics, and in the body of answers that Windrose itself gives.",
		[]string{"Outcome", "Status", "What it means", "What to do"}, rows)
}

func metrics() string {
	var rows [][]string
	for _, row := range observe.AllMetrics() {
		rows = append(rows, []string{"`" + row.Name + "`", row.Type.String(), strings.Join(row.Labels, ", "), row.Help, row.Fix})
	}
	return table("Metrics", fmt.Sprintf("In Prometheus' text format at `/metrics`, on the admin port and, in data planes, on the telemetry port. "+
		"At most %d routes and services have series of their own.", observe.DefaultSeriesLimit),
		[]string{"Metric", "Type", "Labels", "What it is", "What to do"}, rows)
}

func limitPage() string {
	limits := settings.DefaultLimits()
	var rows [][]string
	for _, s := range limits.Settings() {
		rows = append(rows, []string{"`--" + s.Flag + "`", valueOf(s.Value), s.Doc})
	}
	return table("Settings", "Limits of the engine: flags of `windrose run`, `windrose-gateway` and `windrose-proxy`.",
		[]string{"Flag", "Default", "What it bounds"}, rows)
}

func ports() string {
	var rows [][]string
	for _, p := range serve.Ports() {
		rows = append(rows, []string{"`" + p.Address + "`", p.Of, p.Doc})
	}
	var answers [][]string
	for _, p := range admin.Pages() {
		on := "admin"
		if p.Telemetry {
			on = "admin, telemetry"
		}
		answers = append(answers, []string{"`" + p.Path + "`", on, p.Doc})
	}
	return table("Ports", "What Windrose opens by default, besides the ports that resources ask for.",
		[]string{"Address", "Of", "For"}, rows) +
		"\n## Admin API\n\nWhat is answered to GET, and on which of the ports.\n\n" + rowsOf([]string{"Path", "On", "What it answers"}, answers)
}

func valueOf(v any) string {
	switch v := v.(type) {
	case *int:
		return fmt.Sprint(*v)
	case *int64:
		return fmt.Sprint(*v)
	case *bool:
		return fmt.Sprint(*v)
	case *time.Duration:
		return v.String()
	case flag.Value:
		return v.String()
	}
	return ""
}

// planes are the data-plane programs, which share their flags.
var planes = []struct{ name, doc string }{
	{"windrose-gateway", "The data plane of the edge: it serves a Snapshot from a file, and links no Kubernetes code."},
	{"windrose-proxy", "The data plane of the mesh: it serves a Snapshot from a file, and links no Kubernetes code."},
}

func commands() string {
	var b strings.Builder
	b.WriteString(generated + "# Commands\n")
	for _, c := range cli.Root("").Commands() {
		if c.IsAvailableCommand() && c.Name() != "completion" {
			section(&b, c.UseLine(), c.Long, c.Example, c.LocalFlags())
		}
	}
	for _, p := range planes {
		var flags pflag.FlagSet
		flags.AddGoFlagSet(serve.Flags(p.name))
		long := p.doc + "\n\nOne signal ends it in order, a second one at once. SIGHUP reads the file again."
		section(&b, p.name+" --snapshot FILE [flags]", long, "  "+p.name+" --snapshot shop.wire --publish 80=:8080", &flags)
	}
	return b.String()
}

func section(b *strings.Builder, use, long, example string, flags *pflag.FlagSet) {
	fmt.Fprintf(b, "\n## `%s`\n\n%s\n\n```\n%s\n```\n\n| Flag | Default | What it does |\n| --- | --- | --- |\n", use, long, example)
	flags.VisitAll(func(f *pflag.Flag) {
		name := "`--" + f.Name + "`"
		if f.Shorthand != "" {
			name = "`-" + f.Shorthand + "`, " + name
		}
		fmt.Fprintf(b, "| %s | %s | %s |\n", name, f.DefValue, strings.ReplaceAll(f.Usage, "|", `\|`))
	})
}
