package reason

import "testing"

func TestCodeTableIsComplete(t *testing.T) {
	for i, row := range Codes() {
		if int(row.Code) != i+1 {
			t.Errorf("row %d holds code %d: the table must follow the constants", i, row.Code)
		}
		if row.Name == "" || row.Doc == "" || row.Fix == "" {
			t.Errorf("code %d: name, doc and fix must not be empty: %+v", row.Code, row)
		}
	}
	if int(TLSDiffers) != len(Codes()) {
		t.Errorf("the last constant is %d, the table has %d rows", TLSDiffers, len(Codes()))
	}
}

func TestOutcomeTableIsComplete(t *testing.T) {
	names := map[string]bool{}
	for i, row := range Outcomes() {
		if int(row.Outcome) != i || row.Name == "" || row.Doc == "" {
			t.Errorf("row %d is incomplete: %+v", i, row)
		}
		if row.Status >= 400 && row.Fix == "" {
			t.Errorf("outcome %s has no fix", row.Name)
		}
		if names[row.Name] {
			t.Errorf("name %s stands twice", row.Name)
		}
		names[row.Name] = true
	}
	if len(outcomes) != int(Denied)+1 {
		t.Errorf("the last constant is %d, the table has %d rows", Denied, len(outcomes))
	}
}

func TestReportText(t *testing.T) {
	at := Origin{Kind: "Ingress", Namespace: "shop", Name: "web", File: "web.yaml", Line: 7, Field: "spec.rulez"}
	r := New(UnknownField, at, `unknown field "rulez"`).WithFix(`write "rules"`)
	want := `web.yaml:7: error UnknownField: Ingress shop/web: spec.rulez: unknown field "rulez"; fix: write "rules"`
	if got := r.String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := (Origin{Kind: "Namespace", Name: "shop"}).String(); got != "Namespace shop" {
		t.Errorf("cluster-scoped object prints %q", got)
	}
}

func TestSortedDropsRepeats(t *testing.T) {
	a := New(NotHonoured, Origin{File: "b.yaml", Line: 1}, "x")
	b := New(NotHonoured, Origin{File: "a.yaml", Line: 9}, "x")
	got := Sorted([]Report{a, b, a})
	if len(got) != 2 || got[0] != b || got[1] != a {
		t.Errorf("got %v", got)
	}
}

func TestCount(t *testing.T) {
	all := []Report{New(NotHonoured, Origin{}, "x"), New(ParseError, Origin{}, "x"), New(NotHonoured, Origin{}, "y")}
	if e, w, i := Count(all, Error), Count(all, Warning), Count(all, Info); e != 1 || w != 2 || i != 0 {
		t.Errorf("%d errors, %d warnings, %d infos", e, w, i)
	}
}
