package filter

import (
	"strings"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/proxy/route"
)

// pathEdit replaces the path, or the prefix of it that a rule matched by whole elements
// (see the table at HTTPPathModifier in the Gateway API).
type pathEdit struct {
	whole  bool
	prefix string // without a final slash
	// with replaces the prefix. short replaces it if more of the path follows, because
	// that starts with a slash.
	with, short string
}

func newPathEdit(p *model.PathEdit) *pathEdit {
	if p == nil {
		return nil
	}
	e := &pathEdit{whole: p.Prefix == "", prefix: strings.TrimSuffix(p.Prefix, "/"), with: p.With}
	if !strings.HasPrefix(e.with, "/") {
		e.with = "/" + e.with
	}
	e.short = strings.TrimSuffix(e.with, "/")
	return e
}

// appendTo appends the new path to dst. It returns false if the path is not changed.
func (e *pathEdit) appendTo(dst []byte, x *exchange.Exchange) ([]byte, bool) {
	path := x.Path.Bytes
	switch {
	case path[0] != '/' || !e.whole && !route.HasPrefix(path, e.prefix):
		return dst, false
	case e.whole || len(path) == len(e.prefix):
		return append(dst, e.with...), true
	}
	return append(append(dst, e.short...), path[len(e.prefix):]...), true
}
