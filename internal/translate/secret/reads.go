package secret

import (
	"bytes"
	"maps"

	corev1 "k8s.io/api/core/v1"

	"windrose.dev/windrose/internal/source"
)

// Reads are the Secrets that a translation asked for, those that there are not among
// them, and what for.
type Reads map[source.Name]uses

// uses is a set of Uses, one a bit.
type uses uint8

// version is a Secret as it was at some time.
type version struct {
	pair        *Pair
	authorities []byte
}

// rotates reports, for each use, whether translation makes the same of two versions of a
// Secret but for Chain and Key. Where a pair is broken its error and its place count, so
// that both have to be whole.
var rotates = [...]func(was, is version) bool{
	ServerCertificate: func(was, is version) bool {
		return was.pair.Err == nil && is.pair.Err == nil && maps.Equal(was.pair.names, is.pair.names)
	},
	ClientCertificate: func(was, is version) bool { return was.pair.Err == nil && is.pair.Err == nil },
	Authorities:       func(was, is version) bool { return bytes.Equal(was.authorities, is.authorities) },
}

// Rotated compares the Secrets that were read with those that are now. It returns the
// pairs of those that changed; ok reports whether nothing but key material can come of
// that.
func (r Reads) Rotated(was, is source.Index[corev1.Secret]) (changed map[source.Name]*Pair, ok bool) {
	changed = map[source.Name]*Pair{}
	for name, uses := range r {
		before, after := was.Get(name.Namespace, name.Name), is.Get(name.Namespace, name.Name)
		switch {
		case same(before, after):
			continue
		case before == nil || after == nil:
			return nil, false
		}
		old, now := version{pairOf(before), authorities(before)}, version{pairOf(after), authorities(after)}
		for use, unchanged := range rotates {
			if uses&(1<<use) != 0 && !unchanged(old, now) {
				return nil, false
			}
		}
		changed[name] = now.pair
	}
	return changed, true
}

// same reports whether two objects are one, at one place.
func same(a, b *source.Object[corev1.Secret]) bool {
	return a == b || a != nil && b != nil && a.Value == b.Value && a.Origin == b.Origin
}
