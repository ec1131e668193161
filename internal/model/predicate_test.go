package model

import (
	"strings"
	"testing"
)

// TestTestKinds: each test has a row, and its text form is read back unchanged with every
// comparison that it allows.
func TestTestKinds(t *testing.T) {
	names := map[string]bool{}
	for i, k := range testKinds {
		if k.name == "" || names[k.name] || k.level < 2 || k.level > Schema {
			t.Errorf("test %d: %q, level %d", i, k.name, k.level)
		}
		names[k.name] = true
		if !k.leaf {
			continue
		}
		for c := range comparisons {
			p := Predicate{Test: Test(i), Comparison: Comparison(c), Value: `^(a),~=\`}
			if k.named {
				p.Name = "^=n,"
			}
			if p.Comparison == Present {
				p.Value = ""
			}
			if !k.compares && p.Comparison != Equal {
				continue
			}
			back, err := parsePredicate(p.String())
			if err != nil || back.String() != p.String() || back.Name != p.Name || back.Value != p.Value || back.Comparison != p.Comparison {
				t.Errorf("%s is read as %+v, %v", &p, back, err)
			}
		}
	}
}

// TestPredicatesAreChecked lists values that a test cannot be compared with.
func TestPredicatesAreChecked(t *testing.T) {
	for text, wrong := range map[string]string{
		"source:10.0.0.0/8":             "",
		"source:::/0":                   "",
		"source:10.0.0.1/8":             "no prefix",
		"source:10.0.0.1":               "no prefix",
		"source:::ffff:1.2.3.4/128":     "no prefix",
		"client:x":                      "no prefix",
		"peer:uri=spiffe://a/ns/b/sa/c": "",
		"peer:uri^=spiffe://a/ns/b/":    "",
		"peer:email=a":                  "has no",
		"peer:=a":                       "has no",
		"port:443":                      "",
		"port:x":                        "not a port",
		"scheme:https":                  "",
		"scheme:ftp":                    "neither",
		"sni:=a.example":                "",
		"sni:~^a$":                      "",
		`sni:~\(`:                       "missing",
		"workload:":                     "no value",
		"claim:=x":                      "the name",
		"gateway:":                      "",
		"method:":                       "no value",
	} {
		p, err := parsePredicate(text)
		if err == nil {
			err = p.Validate()
		}
		if (err == nil) != (wrong == "") || err != nil && !strings.Contains(err.Error(), wrong) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestBounds: where a test cannot be evaluated, the widest condition holds wherever the
// condition might, and the narrowest only where it must.
func TestBounds(t *testing.T) {
	known := func(p *Predicate) bool { return p.Test != ClaimIs }
	for text, want := range map[string][2]string{
		"method:GET":                {"method:GET", "method:GET"},
		"claim:a=b":                 {"all()", "any()"},
		"not(claim:a=b)":            {"not(any())", "not(all())"},
		"not(not(claim:a=b))":       {"not(not(all()))", "not(not(any()))"},
		"all(method:GET,claim:a=b)": {"all(method:GET,all())", "all(method:GET,any())"},
		"any(method:GET,not(all(claim:a,claim:b)))": {"any(method:GET,not(all(any(),any())))", "any(method:GET,not(all(all(),all())))"},
	} {
		p, err := parsePredicate(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := [2]string{p.Widest(known).String(), p.Narrowest(known).String()}; got != want {
			t.Errorf("%s: %q", text, got)
		}
	}
	if (*Predicate)(nil).Widest(known) != nil {
		t.Error("no condition has become one")
	}
}

// TestConnectionsHaveNoRequests: conditions that are evaluated before a request is read
// cannot test one.
func TestConnectionsHaveNoRequests(t *testing.T) {
	for text, connection := range map[string]bool{
		"source:10.0.0.0/8": true, "not(any(peer:uri,sni:=a,port:1,gateway:a/b))": true,
		"header:a": false, "not(all(source:10.0.0.0/8,method:GET))": false, "client:10.0.0.0/8": false, "claim:a=b": false,
	} {
		p, err := parsePredicate(text)
		if err != nil {
			t.Fatal(err)
		}
		a := Access{Allow: []Permission{{ID: "x", When: p}}}
		if err := a.Validate(true); (err == nil) != connection {
			t.Errorf("%s: %v", text, err)
		}
		if err := a.Validate(false); err != nil {
			t.Errorf("%s of a request: %v", text, err)
		}
	}
}
