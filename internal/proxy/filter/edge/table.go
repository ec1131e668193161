// Package edge is the table of filters for the programs at the edge, windrose and
// windrose-gateway: the filters of every program, and those that the mesh's data plane
// does not link.
package edge

import (
	"slices"

	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/proxy/filter"
	"windrose.dev/windrose/internal/proxy/filter/compress"
)

// Table returns a row for each kind of filter that a data plane may have.
func Table() []exchange.FilterSpec {
	return slices.Concat([]exchange.FilterSpec{compress.Spec()}, filter.Table())
}
