package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source/dir"
	"windrose.dev/windrose/internal/standalone"
	"windrose.dev/windrose/internal/translate"
)

const translateLong = `Print what the pipeline makes of a directory, without serving it.

  --to model    the Snapshot in its text form, without key material; of a
                Secret that run would make it has a name that stays the same
  --to routes   the routing table, a line a rule, in the order of matching
  --to reports  what is wrong or not honoured, a line each
  --to status   the conditions that a controller would write, a line an object
  --to wire     the Snapshot for windrose-gateway --snapshot; it holds key
                material, so keep it as private as the keys; a Secret that is
                made is another one each time

With --diff OLD, what changes for traffic between that directory and this one:
the routing tables are compared, not the files.

The exit status is 1 when there are errors among the reports.`

type translateFlags struct {
	files      []string
	to, output string
	diff       string
	schema     int
	translationFlags
}

func translateCommand() *cobra.Command {
	var flags translateFlags
	cmd := &cobra.Command{
		Use: "translate -f DIR", Short: "print what becomes of a directory of resources",
		Long: translateLong, Example: "  windrose translate -f examples/shop --to model",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runTranslate(cmd.OutOrStdout(), cmd.ErrOrStderr(), flags)
		},
	}
	f := cmd.Flags()
	f.StringArrayVarP(&flags.files, "filename", "f", nil, "directory or file with resources, may be repeated (required)")
	f.StringVar(&flags.to, "to", "model", "model, routes, reports, status or wire")
	f.IntVar(&flags.schema, "schema", model.Schema, fmt.Sprintf("write model or wire for proxies that speak this schema, %d to %d; what it has no field for is closed, and told on stderr", model.OldestSchema, model.Schema))
	f.StringVar(&flags.diff, "diff", "", "print what changes for traffic since this directory or file")
	f.StringVarP(&flags.output, "output", "o", "text", "text or json")
	flags.translationFlags.add(cmd)
	cmd.MarkFlagRequired("filename")
	return cmd
}

func runTranslate(out, notes io.Writer, flags translateFlags) error {
	result, err := translateFiles(flags, flags.files)
	if err != nil {
		return err
	}
	if flags.diff != "" {
		old, err := translateFiles(flags, []string{flags.diff})
		if err != nil {
			return err
		}
		return writeDiff(out, flags.output, old.Snapshot, result.Snapshot)
	}
	older, lost, err := result.Snapshot.For(flags.schema)
	if err != nil {
		return fmt.Errorf("--schema: %w", err)
	}
	result.Snapshot = older
	if err := writeReports(notes, lost); err != nil {
		return err
	}
	if err := writeTranslation(out, flags, result); err != nil {
		return err
	}
	if n := reason.Count(result.Reports, reason.Error); n > 0 {
		return fmt.Errorf("%s among the reports; see --to reports", quantity(n, "error"))
	}
	return nil
}

func translateFiles(flags translateFlags, files []string) (translate.Result, error) {
	loader := dir.NewLoader(dir.Config{Dirs: files, Guards: translate.Guards})
	if err := loader.Check(); err != nil {
		return translate.Result{}, err
	}
	set, made := standalone.New(standalone.Config{}).WithCertificates(loader.Load())
	options := flags.options()
	options.CloseUnsound = true
	result := translate.Build(set, options)
	if flags.to != "wire" {
		result.Snapshot = withoutMade(result.Snapshot, made)
	}
	return result, nil
}

// withoutMade replaces the content of Secrets that were generated for this call by their
// identity. The content is new in each call; with it, the same directory would have
// another text and another hash each time.
func withoutMade(s *model.Snapshot, made map[string]string) *model.Snapshot {
	parts := s.Parts
	parts.Secrets = slices.Clone(parts.Secrets)
	for i, secret := range parts.Secrets {
		if identity, found := made[secret.Name]; found {
			parts.Secrets[i] = model.Secret{Name: secret.Name, Digest: identity}
		}
	}
	return model.Freeze(parts)
}

// forms are the forms in which a translation can be written: as text and, where there is
// one, as a value for JSON.
var forms = map[string]struct {
	text  func(io.Writer, translate.Result) error
	value func(translate.Result) any
}{
	"model": {
		func(out io.Writer, r translate.Result) error { return model.Write(out, r.Snapshot) },
		func(r translate.Result) any { return r.Snapshot.Parts },
	},
	"routes": {
		func(out io.Writer, r translate.Result) error { return writeRoutes(out, routesOf(r.Snapshot)) },
		func(r translate.Result) any { return routesOf(r.Snapshot) },
	},
	"reports": {
		func(out io.Writer, r translate.Result) error { return writeReports(out, r.Reports) },
		func(r translate.Result) any { return append([]reason.Report{}, r.Reports...) },
	},
	"status": {
		func(out io.Writer, r translate.Result) error {
			_, err := io.WriteString(out, r.Status.String())
			return err
		},
		func(r translate.Result) any { return r.Status },
	},
	"wire": {text: writeWire},
}

func writeTranslation(out io.Writer, flags translateFlags, result translate.Result) error {
	form, known := forms[flags.to]
	switch {
	case !known:
		return fmt.Errorf("--to %s: write --to model, routes, reports, status or wire", flags.to)
	case flags.output == "text":
		return form.text(out, result)
	case flags.output == "json" && form.value != nil:
		return writeJSON(out, form.value(result))
	}
	return fmt.Errorf("--to %s -o %s: write -o text or json; wire has no JSON form", flags.to, flags.output)
}

func writeWire(out io.Writer, r translate.Result) error {
	data, err := model.Encode(r.Snapshot)
	if err != nil {
		return err
	}
	_, err = out.Write(data)
	return err
}

func writeJSON(out io.Writer, v any) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

func writeReports(out io.Writer, reports []reason.Report) error {
	for _, r := range reports {
		if _, err := fmt.Fprintln(out, r); err != nil {
			return err
		}
	}
	return nil
}
