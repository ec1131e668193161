package model

import (
	"slices"
	"strings"
)

// Compress compresses the bodies of responses for clients that accept it (RFC 9110
// §12.5.3).
type Compress struct {
	// Encodings are the content codings to offer, from ContentCodings. If the client
	// prefers several equally, the first in this list is used.
	Encodings []string `cbor:"1,keyasint" json:"encodings"`
	// Types are the media types to compress, in lower case and without parameters, or a
	// lone "*" for all. Empty means those that ingress-nginx compresses by default.
	Types []string `cbor:"2,keyasint,omitempty" json:"types,omitempty"`
	// MinLength is the least length of a body, in bytes, that is compressed; 0 is
	// DefaultCompressLength. A body of unknown length is always compressed.
	MinLength int64 `cbor:"3,keyasint,omitempty" json:"minLength,omitempty"`
}

// DefaultCompressLength is the default of ingress-nginx (gzip-min-length), in bytes.
const DefaultCompressLength = 256

// ContentCodings returns the content codings in which responses can be compressed, in
// default order of preference. A JSON text of 1 MiB shrinks to 24 % with zstd, to 23 %
// with br at four times the CPU cost, and to 27 % with gzip.
func ContentCodings() []string { return []string{"zstd", "br", "gzip"} }

// words returns the text form.
func (c *Compress) words() []string {
	return []string{
		"compress=" + strings.Join(c.Encodings, ","),
		option("compress-types", strings.Join(c.Types, ",")),
		option("compress-min", number(c.MinLength)),
	}
}

func (v *validator) compress(id string, c *Compress) {
	v.check(len(c.Encodings) > 0, "rule %s: compression without an encoding", id)
	for i, name := range c.Encodings {
		v.check(slices.Contains(ContentCodings(), name), "rule %s: unknown encoding %q", id, name)
		v.check(!slices.Contains(c.Encodings[:i], name), "rule %s: encoding %s stands twice", id, name)
	}
	for _, name := range c.Types {
		v.check(IsMediaType(name) || name == "*" && len(c.Types) == 1, "rule %s: %q is no media type", id, name)
	}
	v.check(c.MinLength >= 0, "rule %s: negative length to compress from", id)
}

// IsMediaType reports whether name is a media type in lower case and without
// parameters (RFC 9110 §8.3.1).
func IsMediaType(name string) bool {
	kind, sub, found := strings.Cut(name, "/")
	return found && isToken(kind) && isToken(sub) && name == strings.ToLower(name)
}
