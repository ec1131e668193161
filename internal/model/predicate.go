package model

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Test is what a Predicate looks at.
type Test uint8

// The tests. All, Any and Not combine other tests; the rest are leaves.
const (
	// An empty All holds; an empty Any does not.
	All Test = iota
	Any
	Not
	MethodIs
	HeaderIs
	QueryIs
	CookieIs
	// SourceIn holds if the client's address is in a prefix: the address that connected,
	// or the one in a PROXY protocol header. ClientIn does the same for the address that
	// trusted proxies name in X-Forwarded-For.
	SourceIn
	ClientIn
	// PeerIs tests the client's verified certificate. Name is one of PeerAttributes, of
	// which a certificate may have several values.
	PeerIs
	// ServerNameIs tests the server name of the client's TLS (RFC 6066 §3).
	ServerNameIs
	// PortIs tests the port of the listener, GatewayIs its Gateway.
	PortIs
	GatewayIs
	// SchemeIs tests the scheme of the client's URL: http or https.
	SchemeIs
	// ClaimIs tests the client's verified token; Name is the path of the claim.
	ClaimIs
	// WorkloadIs tests which pod the client is, by namespace/name.
	WorkloadIs
)

// PeerAttributes are the values of Name for PeerIs. The last three are parts of a SPIFFE
// ID.
var PeerAttributes = []string{"uri", "dns", "subject", "hash", "trust-domain", "namespace", "service-account"}

// Comparison is how a leaf compares.
type Comparison uint8

// The comparisons.
const (
	// Equal compares byte by byte.
	Equal Comparison = iota
	// Matches is an RE2 expression that brings its own anchors.
	Matches
	// Present holds if there is any value.
	Present
	// Starts compares the beginning of the value.
	Starts
)

// testKind declares one Test: everything that the model knows about it.
type testKind struct {
	name string
	// level is the schema level that introduced it.
	level int
	// leaf means that it combines no other tests.
	leaf bool
	// named means that it uses Name. If names is not empty, Name must be one of them.
	named bool
	names []string
	// compares means that it allows every Comparison, not only Equal.
	compares bool
	// connection means that it can be evaluated for a connection, without a request.
	connection bool
	// value checks a value that is compared byte by byte; nil accepts all.
	value func(string) error
}

// testKinds has a row for each Test.
var testKinds = []testKind{
	All:          {name: "all", level: 2, connection: true},
	Any:          {name: "any", level: 2, connection: true},
	Not:          {name: "not", level: 2, connection: true},
	MethodIs:     {name: "method", level: 2, leaf: true, value: someText},
	HeaderIs:     {name: "header", level: 2, leaf: true, named: true, compares: true},
	QueryIs:      {name: "query", level: 2, leaf: true, named: true, compares: true},
	CookieIs:     {name: "cookie", level: 3, leaf: true, named: true, compares: true},
	SourceIn:     {name: "source", level: 3, leaf: true, connection: true, value: prefixText},
	ClientIn:     {name: "client", level: 3, leaf: true, value: prefixText},
	PeerIs:       {name: "peer", level: 3, leaf: true, named: true, names: PeerAttributes, compares: true, connection: true},
	ServerNameIs: {name: "sni", level: 3, leaf: true, compares: true, connection: true},
	PortIs:       {name: "port", level: 3, leaf: true, connection: true, value: func(v string) error { _, err := portOf(v); return err }},
	GatewayIs:    {name: "gateway", level: 3, leaf: true, connection: true},
	SchemeIs:     {name: "scheme", level: 3, leaf: true, value: schemeText},
	ClaimIs:      {name: "claim", level: 3, leaf: true, named: true, compares: true},
	WorkloadIs:   {name: "workload", level: 3, leaf: true, connection: true, value: someText},
}

func someText(v string) error {
	if v == "" {
		return errors.New("there is no value")
	}
	return nil
}

func prefixText(v string) error {
	if p, err := netip.ParsePrefix(v); err != nil || p.Masked().String() != v || p.Addr().Is4In6() {
		return fmt.Errorf("%q is no prefix of addresses, such as 10.0.0.0/8", v)
	}
	return nil
}

func schemeText(v string) error {
	if v != "http" && v != "https" {
		return fmt.Errorf("%q is neither http nor https", v)
	}
	return nil
}

// Predicate is a condition on a request: a tree of tests.
type Predicate struct {
	Test Test `cbor:"1,keyasint,omitempty" json:"test,omitempty"`
	// Of are the tests that All and Any combine, or the single test that Not negates.
	Of []Predicate `cbor:"2,keyasint,omitempty" json:"of,omitempty"`
	// Name is the name of a header field (in any case), query parameter, cookie,
	// attribute or claim. If a header field occurs several times, its values are joined
	// by commas; of a parameter or a cookie the first value counts.
	Name       string     `cbor:"3,keyasint,omitempty" json:"name,omitempty"`
	Comparison Comparison `cbor:"4,keyasint,omitempty" json:"comparison,omitempty"`
	Value      string     `cbor:"5,keyasint,omitempty" json:"value,omitempty"`
}

// MaxPredicates bounds the tests of one rule, and so their cost per request.
const MaxPredicates = 64

// comparisons are the signs of the text form, and the schema levels that introduced them.
var comparisons = []struct {
	sign  string
	level int
}{Equal: {"=", 2}, Matches: {"~", 2}, Present: {"", 2}, Starts: {"^=", 3}}

// String returns the test's word in the text form.
func (t Test) String() string { return testKinds[t].name }

// MarshalText returns the test's word.
func (t Test) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// MarshalText returns the comparison's sign.
func (c Comparison) MarshalText() ([]byte, error) { return []byte(comparisons[c].sign), nil }

// Validate returns what is wrong with a condition.
func (p *Predicate) Validate() error {
	var v validator
	v.predicate("condition", p)
	return errors.Join(v.errs...)
}

// level returns the schema level that the top of a condition needs; levels returns the
// level that all its tests need.
func (p *Predicate) level() int { return max(testKinds[p.Test].level, comparisons[p.Comparison].level) }

func (p *Predicate) levels() int {
	if p == nil {
		return OldestSchema
	}
	level := p.level()
	for i := range p.Of {
		level = max(level, p.Of[i].levels())
	}
	return level
}

// size returns the number of tests in the tree.
func (p *Predicate) size() int {
	n := 1
	for i := range p.Of {
		n += p.Of[i].size()
	}
	return n
}

// ByConnection reports whether the condition can be evaluated for a connection, without a
// request.
func (p *Predicate) ByConnection() bool {
	return testKinds[p.Test].connection && !slices.ContainsFunc(p.Of, func(one Predicate) bool { return !one.ByConnection() })
}

// Widest returns a condition without the tests that are not known. It holds wherever p
// might hold. If all tests are known, it is p itself.
func (p *Predicate) Widest(known func(*Predicate) bool) *Predicate {
	return p.bound(known, All)
}

// Narrowest is like Widest, but the result holds only where p is sure to hold.
func (p *Predicate) Narrowest(known func(*Predicate) bool) *Predicate {
	return p.bound(known, Any)
}

// bound returns p with the tests that are not known replaced by an empty unknown, which
// is All (always holds) or Any (never holds).
func (p *Predicate) bound(known func(*Predicate) bool, unknown Test) *Predicate {
	switch {
	case p == nil || p.knows(known):
		return p
	case testKinds[p.Test].leaf:
		return &Predicate{Test: unknown}
	case p.Test == Not:
		unknown = All + Any - unknown // All becomes Any, and Any becomes All
	}
	out := &Predicate{Test: p.Test, Of: make([]Predicate, len(p.Of))}
	for i := range p.Of {
		out.Of[i] = *p.Of[i].bound(known, unknown)
	}
	return out
}

// knows reports whether all tests of the condition are known.
func (p *Predicate) knows(known func(*Predicate) bool) bool {
	return known(p) && !slices.ContainsFunc(p.Of, func(one Predicate) bool { return !one.knows(known) })
}

// String returns the text form: all(method:GET,header:x-env=canary,not(query:a~^b)). In
// names and values the characters \ , ( ) = ~ are escaped by a backslash; so is ^ in
// names.
func (p *Predicate) String() string {
	var b strings.Builder
	p.write(&b)
	return b.String()
}

func (p *Predicate) write(b *strings.Builder) {
	k := &testKinds[p.Test]
	b.WriteString(k.name)
	if k.leaf {
		b.WriteByte(':')
		if k.signed() {
			escapeTo(b, p.Name, nameSigns)
			b.WriteString(comparisons[p.Comparison].sign)
		}
		escapeTo(b, p.Value, predicateSigns)
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

// signed reports whether the text form has a name or a sign before the value.
func (k *testKind) signed() bool { return k.named || k.compares }

const (
	predicateSigns = `\,()=~`
	nameSigns      = predicateSigns + "^"
)

func escapeTo(b *strings.Builder, text, signs string) {
	for i := range len(text) {
		if strings.IndexByte(signs, text[i]) >= 0 {
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
	if p.Test, err = testNamed(r.rest[:end]); err != nil {
		return p, err
	}
	leaf := r.rest[end] == ':'
	r.rest = r.rest[end+1:]
	if leaf != testKinds[p.Test].leaf {
		return p, fmt.Errorf("%s is not written so", p.Test)
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

func testNamed(word string) (Test, error) {
	for i := range testKinds {
		if testKinds[i].name == word {
			return Test(i), nil
		}
	}
	return 0, fmt.Errorf("unknown condition %q", word)
}

func (r *predicateReader) leaf(p *Predicate) {
	if testKinds[p.Test].signed() {
		p.Name = r.text(nameSigns)
		switch {
		case r.take('='):
		case r.take('~'):
			p.Comparison = Matches
		case strings.HasPrefix(r.rest, "^="):
			r.rest = r.rest[2:]
			p.Comparison = Starts
		default:
			p.Comparison = Present
			return
		}
	}
	p.Value = r.text(predicateSigns)
}

// text reads up to the next of signs.
func (r *predicateReader) text(signs string) string {
	var b strings.Builder
	for r.rest != "" && strings.IndexByte(signs[1:], r.rest[0]) < 0 {
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

// predicate checks a condition; what names its owner in errors.
func (v *validator) predicate(what string, p *Predicate) {
	v.check(p.size() <= MaxPredicates, "%s: more than %d conditions", what, MaxPredicates)
	v.predicateTree(what, p)
}

func (v *validator) predicateTree(what string, p *Predicate) {
	if !v.check(int(p.Test) < len(testKinds), "%s: unknown condition %d", what, p.Test) {
		return
	}
	if k := &testKinds[p.Test]; k.leaf {
		v.leaf(what, k, p)
		return
	}
	v.check(p.Name == "" && p.Value == "" && p.Comparison == Equal, "%s: %s with a name or value", what, p.Test)
	v.check(p.Test != Not || len(p.Of) == 1, "%s: not needs one condition", what)
	for i := range p.Of {
		v.predicateTree(what, &p.Of[i])
	}
}

func (v *validator) leaf(what string, k *testKind, p *Predicate) {
	v.check(len(p.Of) == 0, "%s: %s holds other conditions", what, k.name)
	v.check(k.named == (p.Name != ""), "%s: %s and the name %q", what, k.name, p.Name)
	v.check(k.names == nil || slices.Contains(k.names, p.Name), "%s: %s has no %q", what, k.name, p.Name)
	v.check(k.compares || p.Comparison == Equal, "%s: %s is compared byte by byte only", what, k.name)
	switch p.Comparison {
	case Equal, Starts:
		if k.value != nil {
			err := k.value(p.Value)
			v.check(err == nil, "%s: %s: %v", what, k.name, err)
		}
	case Matches:
		v.regex(what, p.Value)
	case Present:
		v.check(p.Value == "", "%s: a value that nothing is compared with", what)
	default:
		v.check(false, "%s: unknown comparison %d", what, p.Comparison)
	}
}
