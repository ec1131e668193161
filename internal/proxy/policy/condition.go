package policy

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"windrose.dev/windrose/internal/identity"
	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy/msg"
)

// Condition is a compiled model.Predicate: tests that must all hold. Most conditions
// are a few tests, which then lie in one piece of memory. The zero Condition always
// holds. It is read-only.
type Condition struct{ all []test }

// Compile compiles a condition; nil always holds.
func Compile(p *model.Predicate) (Condition, error) {
	if p == nil {
		return Condition{}, nil
	}
	compiled, err := compile(p)
	switch {
	case err != nil:
		return Condition{}, err
	case p.Test == model.All:
		return Condition{compiled.of}, nil
	}
	return Condition{[]test{*compiled}}, nil
}

// Conditions are compiled conditions by their text. Many rules have the same few
// conditions: sharing one copy keeps them in the processor's cache.
type Conditions map[string]Condition

// Compile is like the function Compile, but compiles each text only once.
func (c Conditions) Compile(p *model.Predicate) (Condition, error) {
	if p == nil {
		return Condition{}, nil
	}
	text := p.String()
	if known, ok := c[text]; ok {
		return known, nil
	}
	compiled, err := Compile(p)
	c[text] = compiled
	return compiled, err
}

// Always reports whether the condition has no test.
func (c Condition) Always() bool { return len(c.all) == 0 }

// Holds reports whether a request meets the condition.
func (c Condition) Holds(r *Request) bool { return allHold(c.all, r) }

// test is one test of a condition.
type test struct {
	test       model.Test
	comparison model.Comparison
	id         msg.FieldID // of a header field
	name       string
	value      string
	of         []test
	re         *regexp.Regexp
	prefix     netip.Prefix
	port       uint16
}

// Known reports whether this engine can evaluate a test. It has no verified tokens, and
// does not know pods by their addresses.
func Known(p *model.Predicate) bool { return p.Test != model.ClaimIs && p.Test != model.WorkloadIs }

func compile(p *model.Predicate) (*test, error) {
	out := &test{test: p.Test, comparison: p.Comparison, name: p.Name, value: p.Value}
	if err := out.read(p); err != nil {
		return nil, err
	}
	for i := range p.Of {
		one, err := compile(&p.Of[i])
		if err != nil {
			return nil, err
		}
		out.of = append(out.of, *one)
	}
	return out, nil
}

// read parses the text that the test compares with.
func (t *test) read(p *model.Predicate) (err error) {
	if p.Test == model.HeaderIs {
		t.id = fieldOf(p.Name)
	}
	if p.Comparison == model.Matches {
		t.re, err = regexp.Compile(p.Value)
		return err
	}
	switch p.Test {
	case model.SourceIn, model.ClientIn:
		t.prefix, err = netip.ParsePrefix(p.Value)
	case model.PortIs:
		var port uint64
		port, err = strconv.ParseUint(p.Value, 10, 16)
		t.port = uint16(port)
	}
	return err
}

func allHold(all []test, r *Request) bool {
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

// holds reports whether a request passes the test.
func (t *test) holds(r *Request) bool {
	switch t.test {
	case model.All:
		return allHold(t.of, r)
	case model.Any:
		for i := range t.of {
			if t.of[i].holds(r) {
				return true
			}
		}
		return false
	case model.Not:
		return !t.of[0].holds(r)
	case model.MethodIs:
		return string(r.Method) == t.value
	case model.HeaderIs:
		value, present := r.header(t.id, t.name)
		return present && t.compare(value)
	case model.CookieIs:
		value, present := r.cookie(t.name)
		return present && t.compare(value)
	case model.QueryIs:
		return t.holdsQuery(r)
	case model.SchemeIs:
		return r.HTTPS == (t.value == "https")
	case model.ClientIn:
		return t.prefix.Contains(r.client())
	}
	return r.From != nil && t.holdsFor(r.From)
}

func (t *test) holdsQuery(r *Request) bool {
	raw, present := r.query(t.name)
	switch {
	case !present:
		return false
	case t.comparison == model.Equal:
		return sameDecoded(raw, t.value)
	}
	r.text = appendDecoded(r.text[:0], raw)
	return t.compare(r.text)
}

// holdsFor is like holds, for tests of the connection.
func (t *test) holdsFor(in *Inbound) bool {
	switch t.test {
	case model.SourceIn:
		return t.prefix.Contains(in.Addr.Addr().Unmap().WithZone(""))
	case model.PortIs:
		return in.Listener.Port == t.port
	case model.GatewayIs:
		return in.Listener.Gateway == t.value
	case model.ServerNameIs:
		return in.ServerName != "" && t.compareText(in.ServerName)
	case model.PeerIs:
		return in.Identity != nil && t.holdsPeer(in.Identity)
	}
	return false // see Known
}

func (t *test) holdsPeer(peer *identity.Peer) bool {
	var some []string
	switch t.name {
	case "uri":
		some = peer.URIs
	case "dns":
		some = peer.DNSNames
	default:
		one := peerAttribute(peer, t.name)
		return one != "" && t.compareText(one)
	}
	for _, one := range some {
		if t.compareText(one) {
			return true
		}
	}
	return false
}

// peerAttribute returns an attribute of a certificate that has only one value.
func peerAttribute(peer *identity.Peer, name string) string {
	switch name {
	case "subject":
		return peer.Subject
	case "hash":
		return peer.Hash
	case "trust-domain":
		return peer.ID.TrustDomain
	case "namespace":
		return peer.ID.Namespace
	case "service-account":
		return peer.ID.ServiceAccount
	}
	return ""
}

func (t *test) compare(value []byte) bool {
	switch t.comparison {
	case model.Equal:
		return string(value) == t.value
	case model.Matches:
		return t.re.Match(value)
	case model.Starts:
		return len(value) >= len(t.value) && string(value[:len(t.value)]) == t.value
	}
	return true
}

func (t *test) compareText(value string) bool {
	switch t.comparison {
	case model.Equal:
		return value == t.value
	case model.Matches:
		return t.re.MatchString(value)
	case model.Starts:
		return strings.HasPrefix(value, t.value)
	}
	return true
}
