package annotation

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/reason"
)

// Prefix is the prefix of the names of all our annotations.
const Prefix = "windrose.dev/"

// Row is a row of docs/annotations.md.
type Row struct{ Name, Kinds, Doc string }

// All returns the annotations that routes may have.
func All() []Row {
	return []Row{
		{CompressName, "Ingress, HTTPRoute", "Compresses answers for clients that take it: content codings of zstd, br and gzip, the most preferred first, separated by commas; `on` for all three, in this order; `off` for none. Default is what `--compress` says. Types and lengths are those of `--compress-types` and `--compress-min-length`. Answers with Cache-Control: no-transform, Content-Encoding or a digest stay as they are, as do streams of events and gRPC. An ETag becomes weak."},
	}
}

// CompressName is the annotation that says how responses are compressed.
const CompressName = Prefix + "compress"

// Compress reads the annotation; without it, it returns defaults. No encodings mean no
// compression. An invalid value means no compression, too, and the error says what to
// write.
func Compress(annotations map[string]string, defaults model.Compress) (*model.Compress, error) {
	var err error
	if value, found := annotations[CompressName]; found {
		defaults.Encodings, err = Encodings(value)
	}
	if err != nil || len(defaults.Encodings) == 0 {
		return nil, err
	}
	return &defaults, nil
}

// Invalid returns the Report for an invalid value; err says what to write.
func Invalid(at reason.Origin, value string, err error) reason.Report {
	r := reason.New(reason.AnnotationInvalid, at, fmt.Sprintf("%q cannot be understood", value))
	r.Fix = "write " + err.Error()
	return r
}

// Encodings reads a list of content codings, on, or off.
func Encodings(value string) ([]string, error) {
	switch value = strings.TrimSpace(value); value {
	case "on":
		return model.ContentCodings(), nil
	case "off":
		return nil, nil
	}
	var out []string
	for _, name := range strings.Split(value, ",") {
		name = strings.TrimSpace(name)
		if !slices.Contains(model.ContentCodings(), name) || slices.Contains(out, name) {
			return nil, errors.New(`"on", "off", or some of zstd, br and gzip, separated by commas and each once`)
		}
		out = append(out, name)
	}
	return out, nil
}
