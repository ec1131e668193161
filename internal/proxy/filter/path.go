package filter

import (
	"strings"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/proxy/route"
)

// pathEdit replaces the path, or what a prefix matches of it by whole elements
// (the table at HTTPPathModifier in the Gateway API).
type pathEdit struct {
	whole  bool
	prefix string // without a final slash
	// with stands in the prefix's place: short where more of the path follows,
	// which brings its slash along.
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

// appendTo writes the new path, or returns false where there is nothing to
// replace.
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
