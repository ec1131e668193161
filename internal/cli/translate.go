package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
	"windrose.dev/windrose/internal/standalone"
	"windrose.dev/windrose/internal/translate"
	"windrose.dev/windrose/internal/translate/ingress"
)

const translateLong = `Print what the pipeline makes of a directory, without serving it.

  --to model    the Snapshot in its text form, without key material; of a
                Secret that run would make it has a name that stays the same
  --to reports  what is wrong or not honoured, a line each
  --to wire     the Snapshot for windrose-gateway --snapshot; it holds key
                material, so keep it as private as the keys; a Secret that is
                made is another one each time

The exit status is 1 when there are errors among the reports.`

type translateFlags struct {
	files        []string
	to, output   string
	class        string
	ignoreGuards bool
}

func translateCommand() *cobra.Command {
	var flags translateFlags
	cmd := &cobra.Command{
		Use: "translate -f DIR", Short: "print what becomes of a directory of resources",
		Long: translateLong, Example: "  windrose translate -f examples/shop --to model",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runTranslate(cmd.OutOrStdout(), flags) },
	}
	f := cmd.Flags()
	f.StringArrayVarP(&flags.files, "filename", "f", nil, "directory or file with resources, may be repeated (required)")
	f.StringVar(&flags.to, "to", "model", "model, reports or wire")
	f.StringVarP(&flags.output, "output", "o", "text", "text or json")
	addTranslationFlags(cmd, &flags.class, &flags.ignoreGuards)
	cmd.MarkFlagRequired("filename")
	return cmd
}

// addTranslationFlags adds the flags that change what resources mean.
func addTranslationFlags(cmd *cobra.Command, class *string, ignoreGuards *bool) {
	cmd.Flags().StringVar(class, "class", "", "serve only the Ingresses of this class (default all)")
	cmd.Flags().BoolVar(ignoreGuards, "ignore-guards", false, "open routes whose guards, such as auth-url, are not honoured yet")
}

func runTranslate(out io.Writer, flags translateFlags) error {
	loader := source.NewLoader(source.Config{Dirs: flags.files, Guards: ingress.Guards})
	if err := loader.Check(); err != nil {
		return err
	}
	set, made := standalone.New(standalone.Config{}).WithCertificates(loader.Load())
	options := translate.Options{Ingress: ingress.Options{Class: flags.class, IgnoreGuards: flags.ignoreGuards}}
	snapshot, reports := translate.Build(set, options)
	if flags.to != "wire" {
		snapshot = withoutMade(snapshot, made)
	}
	if err := writeTranslation(out, flags, snapshot, reports); err != nil {
		return err
	}
	if n := reason.Count(reports, reason.Error); n > 0 {
		return fmt.Errorf("%s among the reports; see --to reports", quantity(n, "error"))
	}
	return nil
}

// withoutMade leaves out the content of Secrets that were made for this call:
// another one each time, it would give the same directory another text and
// another hash. Its identity stands in its place.
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

func writeTranslation(out io.Writer, flags translateFlags, s *model.Snapshot, reports []reason.Report) error {
	asJSON := flags.output == "json"
	if !asJSON && flags.output != "text" {
		return fmt.Errorf("-o %s: write text or json", flags.output)
	}
	switch {
	case flags.to == "model" && asJSON:
		return writeJSON(out, s.Parts)
	case flags.to == "model":
		return model.Write(out, s)
	case flags.to == "reports" && asJSON:
		return writeJSON(out, append([]reason.Report{}, reports...))
	case flags.to == "reports":
		return writeReports(out, reports)
	case flags.to == "wire" && !asJSON:
		data, err := model.Encode(s)
		if err != nil {
			return err
		}
		_, err = out.Write(data)
		return err
	}
	return fmt.Errorf("--to %s -o %s: write --to model, reports or wire; wire has no JSON form", flags.to, flags.output)
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
