package route

import (
	"windrose.dev/windrose/internal/model"
)

// Trace says how the rule for a request was found, or why none was.
type Trace struct {
	Listener model.ListenerID
	// Open reports whether anything is served on the listener.
	Open bool
	// Hosts are those that were asked, in that order.
	Hosts []HostTrace
}

// HostTrace is what one virtual host had to say.
type HostTrace struct {
	Name   string
	Blocks []BlockTrace
	// Fallback tells that a miss goes on to the next host.
	Fallback bool
}

// BlockTrace is what the rules of one dialect had to say.
type BlockTrace struct {
	Dialect string
	// Path is the path as it was compared.
	Path string
	// Rule is the id of the rule that takes the request, or empty.
	Rule string
	// Misses are the other rules, in the order of the model.
	Misses []Miss
}

// Condition is what a rule failed by.
type Condition uint8

// The conditions.
const (
	// ByPath: the path is another.
	ByPath Condition = iota
	ByMethod
	ByHeader
	ByQuery
	ByCookie
	// ByOrder: it matches, but another rule comes first.
	ByOrder
)

var conditionNames = [...]string{ByPath: "path", ByMethod: "method", ByHeader: "header", ByQuery: "query", ByCookie: "cookie", ByOrder: "order"}

func (c Condition) String() string { return conditionNames[c] }

// MarshalText writes the condition as its word.
func (c Condition) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// Miss is a rule that did not take the request, and the first condition that
// it failed by.
type Miss struct {
	Rule      string
	Condition Condition
	// Expected is the condition, as the text form writes it; ByOrder it is the
	// rule that came first. Got is what the request has, or empty.
	Expected, Got string
}

func (t *Trace) begin(h *model.Host) {
	t.Hosts = append(t.Hosts, HostTrace{Name: h.Name, Fallback: h.Fallback})
}

// block records a block that was asked, and which of its rules it chose; -1 is
// none.
func (t *Trace) block(b *model.Block, path []byte, r *Request, index int) {
	chosen := ""
	if index >= 0 {
		chosen = b.Rules[index].ID
	}
	host := &t.Hosts[len(t.Hosts)-1]
	out := BlockTrace{Dialect: b.Dialect, Path: string(path), Rule: chosen}
	for i := range b.Rules {
		if rule := &b.Rules[i]; rule.ID != chosen {
			out.Misses = append(out.Misses, missOf(rule, path, r, chosen))
		}
	}
	host.Blocks = append(host.Blocks, out)
}

// missOf finds the first condition that a rule fails by. It compiles anew what
// it needs: nobody is in a hurry.
func missOf(rule *model.Rule, path []byte, r *Request, chosen string) Miss {
	miss := Miss{Rule: rule.ID, Condition: ByOrder, Expected: chosen}
	if match, err := matcher(rule.Path); err != nil || !match(path) {
		kind, _ := rule.Path.Kind.MarshalText()
		miss.Condition, miss.Expected, miss.Got = ByPath, string(kind)+":"+rule.Path.Value, string(path)
		return miss
	}
	if failed := failing(rule.When, r); failed != nil {
		miss.Expected = failed.String()
		miss.Condition, miss.Got = gotFor(failed, r)
	}
	return miss
}

// failing finds the smallest part of a condition that explains why it does not
// hold, or returns nil if it does.
func failing(p *model.Predicate, r *Request) *model.Predicate {
	compiled, err := compilePredicate(p)
	switch {
	case p == nil || err == nil && compiled.holds(r):
		return nil
	case err != nil || p.Test != model.All:
		return p
	}
	for i := range p.Of {
		if failed := failing(&p.Of[i], r); failed != nil {
			return failed
		}
	}
	return p
}

// gotFor is what the request has where a condition looks first.
func gotFor(p *model.Predicate, r *Request) (Condition, string) {
	for p.Test <= model.Not && len(p.Of) > 0 {
		p = &p.Of[0]
	}
	switch p.Test {
	case model.MethodIs:
		return ByMethod, string(r.Method)
	case model.QueryIs:
		raw, _ := r.query(p.Name)
		return ByQuery, string(appendDecoded(nil, raw))
	case model.CookieIs:
		value, _ := r.cookie(p.Name)
		return ByCookie, string(value)
	}
	if p.Name == "" {
		return ByHeader, "" // a condition that holds no other
	}
	value, _ := r.header(fieldOf(p.Name), p.Name)
	return ByHeader, string(value)
}
