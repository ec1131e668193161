package route

import (
	"regexp"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy/msg"
)

// predicate is a compiled condition.
type predicate struct {
	test       model.Test
	comparison model.Comparison
	id         msg.FieldID // of a header
	name       string
	value      string
	of         []predicate
	re         *regexp.Regexp
}

// compilePredicate compiles a condition; nil stays nil.
func compilePredicate(p *model.Predicate) (*predicate, error) {
	if p == nil {
		return nil, nil
	}
	out := &predicate{test: p.Test, comparison: p.Comparison, name: p.Name, value: p.Value}
	if p.Test == model.HeaderIs {
		out.id = fieldOf(p.Name)
	}
	if p.Comparison == model.Matches {
		var err error
		if out.re, err = regexp.Compile(p.Value); err != nil {
			return nil, err
		}
	}
	for i := range p.Of {
		one, err := compilePredicate(&p.Of[i])
		if err != nil {
			return nil, err
		}
		out.of = append(out.of, *one)
	}
	return out, nil
}

// compileAll compiles a condition to those that must all hold, so that the
// usual one, a few tests side by side, lies in one piece.
func compileAll(p *model.Predicate) ([]predicate, error) {
	compiled, err := compilePredicate(p)
	switch {
	case err != nil:
		return nil, err
	case p.Test == model.All:
		return compiled.of, nil
	}
	return []predicate{*compiled}, nil
}

// conditions are the compiled ones of a host by their text. The same few stand
// at many rules: one copy of each stays in the processor's cache.
type conditions map[string][]predicate

func (c conditions) compile(p *model.Predicate) ([]predicate, error) {
	if p == nil {
		return nil, nil
	}
	text := p.String()
	if known, ok := c[text]; ok {
		return known, nil
	}
	compiled, err := compileAll(p)
	c[text] = compiled
	return compiled, err
}

func allHold(all []predicate, r *Request) bool {
	for i := range all {
		if !all[i].holds(r) {
			return false
		}
	}
	return true
}

func fieldOf(name string) msg.FieldID {
	_, underscore := msg.CheckName([]byte(name))
	return msg.Classify([]byte(name), underscore)
}

// holds reports whether a request meets the condition.
func (p *predicate) holds(r *Request) bool {
	switch p.test {
	case model.All:
		return allHold(p.of, r)
	case model.Any:
		for i := range p.of {
			if p.of[i].holds(r) {
				return true
			}
		}
		return false
	case model.Not:
		return !p.of[0].holds(r)
	case model.MethodIs:
		return string(r.Method) == p.value
	case model.HeaderIs:
		value, present := r.header(p.id, p.name)
		return present && p.compare(value)
	case model.CookieIs:
		value, present := r.cookie(p.name)
		return present && p.compare(value)
	}
	return p.holdsQuery(r)
}

func (p *predicate) holdsQuery(r *Request) bool {
	raw, present := r.query(p.name)
	switch {
	case !present:
		return false
	case p.comparison == model.Equal:
		return sameDecoded(raw, p.value)
	}
	r.text = appendDecoded(r.text[:0], raw)
	return p.compare(r.text)
}

func (p *predicate) compare(value []byte) bool {
	switch p.comparison {
	case model.Equal:
		return string(value) == p.value
	case model.Matches:
		return p.re.Match(value)
	}
	return true
}
