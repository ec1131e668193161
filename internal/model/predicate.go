package model

import (
	"errors"
	"fmt"
	"strings"
)

// Test is what a Predicate looks at.
type Test uint8

// The tests. All, Any and Not combine others; the rest are leaves.
const (
	All Test = iota
	Any
	Not
	MethodIs
	HeaderIs
	QueryIs
	CookieIs
)

// Comparison is how a leaf compares.
type Comparison uint8

// The comparisons. MethodIs knows Equal only.
const (
	// Equal compares byte by byte.
	Equal Comparison = iota
	// Matches is an RE2 expression that brings its own anchors.
	Matches
	// Present asks only that there be a value.
	Present
)

// Predicate is a condition on a request: a tree of tests.
type Predicate struct {
	Test Test `cbor:"1,keyasint,omitempty" json:"test,omitempty"`
	// Of are what All and Any combine, and the one that Not turns round.
	Of []Predicate `cbor:"2,keyasint,omitempty" json:"of,omitempty"`
	// Name is that of a header field, which matches in any case, of a query
	// parameter, or of a cookie. Of a field that stands several times all values
	// count, joined by commas; of a parameter or a cookie the first.
	Name       string     `cbor:"3,keyasint,omitempty" json:"name,omitempty"`
	Comparison Comparison `cbor:"4,keyasint,omitempty" json:"comparison,omitempty"`
	Value      string     `cbor:"5,keyasint,omitempty" json:"value,omitempty"`
}

// MaxPredicates bounds the tests of one rule, and so what a request can cost.
const MaxPredicates = 64

var (
	testNames       = []string{All: "all", Any: "any", Not: "not", MethodIs: "method", HeaderIs: "header", QueryIs: "query", CookieIs: "cookie"}
	comparisonSigns = []string{Equal: "=", Matches: "~", Present: ""}
)

// MarshalText writes the test as its word.
func (t Test) MarshalText() ([]byte, error) { return []byte(testNames[t]), nil }

// MarshalText writes the comparison as its sign.
func (c Comparison) MarshalText() ([]byte, error) { return []byte(comparisonSigns[c]), nil }

// Validate tells what is wrong with a condition.
func (p *Predicate) Validate() error {
	var v validator
	v.predicate("condition", p)
	return errors.Join(v.errs...)
}

// size is the number of tests in a tree.
func (p *Predicate) size() int {
	n := 1
	for i := range p.Of {
		n += p.Of[i].size()
	}
	return n
}

// String writes the text form: all(method:GET,header:x-env=canary,not(query:a~^b)).
// In names and values a backslash stands before each of \ , ( ) = ~.
func (p *Predicate) String() string {
	var b strings.Builder
	p.write(&b)
	return b.String()
}

func (p *Predicate) write(b *strings.Builder) {
	b.WriteString(testNames[p.Test])
	if p.Test > Not {
		b.WriteByte(':')
		if p.Test != MethodIs {
			escapeTo(b, p.Name)
			b.WriteString(comparisonSigns[p.Comparison])
		}
		escapeTo(b, p.Value)
		return
	}
	b.WriteByte('(')
	for i := range p.Of {
		if i > 0 {
			b.WriteByte(',')
		}
		p.Of[i].write(b)
	}
	b.WriteByte(')')
}

const predicateSigns = `\,()=~`

func escapeTo(b *strings.Builder, text string) {
	for i := range len(text) {
		if strings.IndexByte(predicateSigns, text[i]) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(text[i])
	}
}

// parsePredicate reads what String writes.
func parsePredicate(text string) (*Predicate, error) {
	r := predicateReader{rest: text}
	p, err := r.predicate(0)
	if err == nil && r.rest != "" {
		err = fmt.Errorf("%q follows the condition", r.rest)
	}
	return &p, err
}

type predicateReader struct{ rest string }

// maxPredicateDepth bounds the nesting of conditions.
const maxPredicateDepth = 16

func (r *predicateReader) predicate(depth int) (p Predicate, err error) {
	end := strings.IndexAny(r.rest, ":(")
	if end < 0 || depth > maxPredicateDepth {
		return p, fmt.Errorf("%q is not a condition", r.rest)
	}
	if p.Test, err = indexOf[Test](testNames, r.rest[:end], "condition"); err != nil {
		return p, err
	}
	leaf := r.rest[end] == ':'
	r.rest = r.rest[end+1:]
	if leaf != (p.Test > Not) {
		return p, fmt.Errorf("%s is not written so", testNames[p.Test])
	}
	if leaf {
		r.leaf(&p)
		return p, nil
	}
	for !r.take(')') {
		if len(p.Of) > 0 && !r.take(',') {
			return p, errors.New("a condition is not closed")
		}
		one, err := r.predicate(depth + 1)
		if err != nil {
			return p, err
		}
		p.Of = append(p.Of, one)
	}
	return p, nil
}

func (r *predicateReader) leaf(p *Predicate) {
	if p.Test != MethodIs {
		p.Name = r.text()
		switch {
		case r.take('='):
		case r.take('~'):
			p.Comparison = Matches
		default:
			p.Comparison = Present
			return
		}
	}
	p.Value = r.text()
}

// text reads up to the next sign.
func (r *predicateReader) text() string {
	var b strings.Builder
	for r.rest != "" && strings.IndexByte(predicateSigns[1:], r.rest[0]) < 0 {
		if r.rest[0] == '\\' && len(r.rest) > 1 {
			r.rest = r.rest[1:]
		}
		b.WriteByte(r.rest[0])
		r.rest = r.rest[1:]
	}
	return b.String()
}

func (r *predicateReader) take(sign byte) bool {
	if r.rest == "" || r.rest[0] != sign {
		return false
	}
	r.rest = r.rest[1:]
	return true
}

// predicate checks a condition, which belongs to the rule id.
func (v *validator) predicate(what string, p *Predicate) {
	v.check(p.size() <= MaxPredicates, "%s: more than %d conditions", what, MaxPredicates)
	v.predicateTree(what, p)
}

func (v *validator) predicateTree(what string, p *Predicate) {
	if !v.check(p.Test <= CookieIs, "%s: unknown condition %d", what, p.Test) {
		return
	}
	if p.Test <= Not {
		v.check(p.Name == "" && p.Value == "" && p.Comparison == Equal, "%s: %s with a name or value", what, testNames[p.Test])
		v.check(p.Test != Not || len(p.Of) == 1, "%s: not needs one condition", what)
		for i := range p.Of {
			v.predicateTree(what, &p.Of[i])
		}
		return
	}
	v.check(len(p.Of) == 0, "%s: %s holds other conditions", what, testNames[p.Test])
	if p.Test == MethodIs {
		v.check(p.Name == "" && p.Value != "" && p.Comparison == Equal, "%s: a method is compared with itself only", what)
		return
	}
	v.check(p.Name != "", "%s: %s without a name", what, testNames[p.Test])
	switch p.Comparison {
	case Equal:
	case Matches:
		v.regex(what, p.Value)
	case Present:
		v.check(p.Value == "", "%s: a value that nothing is compared with", what)
	default:
		v.check(false, "%s: unknown comparison %d", what, p.Comparison)
	}
}
