package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/translate"
	"windrose.dev/windrose/internal/translate/annotation"
	"windrose.dev/windrose/internal/translate/gateway"
	"windrose.dev/windrose/internal/translate/ingress"
)

// translationFlags are the flags that change what resources mean.
type translationFlags struct {
	class        string
	ignoreGuards bool
	external     bool
	compress     model.Compress
}

func (t *translationFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&t.class, "class", "", "serve only the Ingresses of this class (default all)")
	f.BoolVar(&t.ignoreGuards, "ignore-guards", false, "open routes whose guards, such as auth-url, are not honoured yet")
	f.BoolVar(&t.external, "gateway-external-names", false, "let routes of the Gateway API forward to Services of type ExternalName, which it advises against")
	f.Var((*encodings)(&t.compress.Encodings), "compress", "compress answers: on, off, or some of zstd, br and gzip, the most preferred first; annotation "+annotation.CompressName+" overrides it (default off)")
	f.Var((*mediaTypes)(&t.compress.Types), "compress-types", "media types that are compressed, separated by commas, or * for all (default those of ingress-nginx, and text/html)")
	f.Var((*length)(&t.compress.MinLength), "compress-min-length", fmt.Sprintf("least length of a body that is compressed, in bytes (default %d)", model.DefaultCompressLength))
}

// options returns the options for use without a cluster: there is no other controller, so
// all classes are served, and all Gateways share one process.
func (t *translationFlags) options() translate.Options {
	return translate.Options{
		Ingress: ingress.Options{Class: t.class, IgnoreGuards: t.ignoreGuards, Compress: t.compress},
		Gateway: gateway.Options{Class: t.class, EveryClass: true, ExternalNames: t.external, Compress: t.compress},
	}
}

// encodings is a flag value: a list of content codings.
type encodings []string

func (e *encodings) String() string { return strings.Join(*e, ",") }
func (e *encodings) Type() string   { return "LIST" }

func (e *encodings) Set(text string) (err error) {
	if *e, err = annotation.Encodings(text); err != nil {
		return fmt.Errorf("write %w", err)
	}
	return nil
}

// mediaTypes is a flag value: a list of media types, or *.
type mediaTypes []string

func (m *mediaTypes) String() string { return strings.Join(*m, ",") }
func (m *mediaTypes) Type() string   { return "LIST" }

func (m *mediaTypes) Set(text string) error {
	names := strings.Split(text, ",")
	for _, name := range names {
		if !model.IsMediaType(name) && text != "*" {
			return fmt.Errorf("%q is no media type in lower case, such as text/html", name)
		}
	}
	*m = names
	return nil
}

// length is a flag value: a positive number of bytes.
type length int64

func (l *length) String() string { return "" }
func (l *length) Type() string   { return "BYTES" }

func (l *length) Set(text string) error {
	var n int64
	if _, err := fmt.Sscanf(text+"\n", "%d\n", &n); err != nil || n < 1 {
		return fmt.Errorf("%q is no number of bytes from 1", text)
	}
	*l = length(n)
	return nil
}
