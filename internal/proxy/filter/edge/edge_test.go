package edge_test

import (
	"testing"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy/filter"
	"windrose.dev/windrose/internal/proxy/filter/edge"
)

// TestTablesAreComplete: each kind of filter has one row in the edge's table. The kinds
// that the mesh's data plane lacks must be optional: otherwise their rules would be
// closed there.
func TestTablesAreComplete(t *testing.T) {
	rows := map[*model.FilterKind]int{}
	for _, spec := range edge.Table() {
		rows[spec.Kind]++
	}
	slim := map[*model.FilterKind]bool{}
	for _, spec := range filter.Table() {
		slim[spec.Kind] = true
	}
	mirror := (*model.Mirror)(nil).Kind() // not a step of an exchange
	for _, k := range model.FilterKinds() {
		switch {
		case k == mirror:
		case rows[k] != 1:
			t.Errorf("filter %s has %d rows", k.Name, rows[k])
		case !slim[k] && !k.Optional:
			t.Errorf("the mesh's data plane has no filter %s", k.Name)
		}
	}
	if len(rows) != len(model.FilterKinds())-1 {
		t.Errorf("%d rows for %d kinds", len(rows), len(model.FilterKinds()))
	}
}
