package model

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"windrose.dev/windrose/internal/reason"
)

// ErrText is wrapped by all errors of Parse.
var ErrText = errors.New("not a snapshot in text form")

// Parse reads the text form. Empty lines and lines that begin with # are skipped. It
// stops at the first wrong line, which the error names.
func Parse(text string) (*Snapshot, error) {
	p := textParser{parts: Parts{}}
	number := 0
	for line := range strings.Lines(text) {
		number++
		words, err := splitWords(line)
		if err == nil && len(words) > 0 {
			err = p.line(words)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrText, number, err)
		}
	}
	if err := Validate(&p.parts); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrText, err)
	}
	return Freeze(p.parts), nil
}

// Load reads a Snapshot in text form or wire form.
func Load(data []byte) (*Snapshot, error) {
	if IsWire(data) {
		return Decode(data)
	}
	return Parse(string(data))
}

// splitWords splits at spaces; a whole word may be quoted, as in Go.
func splitWords(line string) ([]string, error) {
	var words []string
	rest := strings.TrimSpace(line)
	if strings.HasPrefix(rest, "#") {
		return nil, nil
	}
	for rest != "" {
		if rest[0] != '"' {
			word, after, _ := strings.Cut(rest, " ")
			words, rest = append(words, word), strings.TrimLeft(after, " \t")
			continue
		}
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil {
			return nil, fmt.Errorf("unclosed quote in %s", rest)
		}
		word, err := strconv.Unquote(quoted)
		if err != nil {
			return nil, err
		}
		words, rest = append(words, word), strings.TrimLeft(rest[len(quoted):], " \t")
	}
	return words, nil
}

type textParser struct {
	parts Parts
	// below is the L4 route to which the next backend lines belong; nil means the last
	// rule.
	below *L4Route
}

// lineForm describes one kind of line: how many words it needs, and its reader.
type lineForm struct {
	words int // the least number of words after the first
	read  func(*textParser, []string) error
}

func (p *textParser) line(words []string) error {
	forms := map[string]lineForm{
		"listener":    {2, (*textParser).listener},
		"certificate": {3, (*textParser).certificate},
		"host":        {1, (*textParser).host},
		"block":       {2, (*textParser).block},
		"rule":        {2, (*textParser).rule},
		"backend":     {2, (*textParser).backend},
		"l4-route":    {2, (*textParser).l4Route},
		"service":     {2, (*textParser).service},
		"endpoint":    {2, (*textParser).endpoint},
		"secret":      {2, (*textParser).secret},
		"bundle":      {2, (*textParser).bundle},
		"origin":      {1, (*textParser).origin},
	}
	form, known := forms[words[0]]
	switch {
	case !known:
		return fmt.Errorf("unknown word %q", words[0])
	case len(words)-1 < form.words:
		return fmt.Errorf("%s needs %d more words", words[0], form.words-len(words)+1)
	}
	return form.read(p, words[1:])
}

func portOf(word string) (uint16, error) {
	n, err := strconv.ParseUint(word, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("%q is not a port", word)
	}
	return uint16(n), nil
}

// listenerOf reads what ListenerID.String writes.
func listenerOf(word string) (ListenerID, error) {
	i := strings.LastIndexByte(word, ':')
	number, udp := strings.CutSuffix(word[i+1:], udpSuffix)
	port, err := portOf(number)
	if i == 0 {
		err = fmt.Errorf("%q has no Gateway before its colon", word)
	}
	return ListenerID{Gateway: word[:max(i, 0)], Port: port, UDP: udp}, err
}

func (p *textParser) listener(w []string) error {
	id, err := listenerOf(w[0])
	if err != nil {
		return err
	}
	l := Listener{ID: id}
	if l.Protocol, err = indexOf[Protocol](protocolNames, w[1], "protocol"); err != nil {
		return err
	}
	for _, word := range w[2:] {
		key, value, _ := strings.Cut(word, "=")
		if err := listenerOption(&l, key, value); err != nil {
			return err
		}
	}
	p.parts.Config.Listeners = append(p.parts.Config.Listeners, l)
	return nil
}

func (p *textParser) certificate(w []string) error {
	id, err := listenerOf(w[0])
	if err != nil {
		return err
	}
	c := Certificate{Host: w[1], Secret: w[2]}
	for _, word := range w[3:] {
		if err := c.option(word); err != nil {
			return err
		}
	}
	for i := range p.parts.Config.Listeners {
		if l := &p.parts.Config.Listeners[i]; l.ID == id {
			l.Certificates = append(l.Certificates, c)
			return nil
		}
	}
	return fmt.Errorf("no listener %s above this line", id)
}

func (p *textParser) host(w []string) error {
	h := Host{Name: w[0]}
	if len(w) > 1 && w[1] != "" {
		for _, word := range strings.Split(w[1], ",") {
			id, err := listenerOf(word)
			if err != nil {
				return err
			}
			h.Listeners = append(h.Listeners, id)
		}
	}
	for _, word := range w[min(2, len(w)):] {
		if word != "fallback" {
			return fmt.Errorf("unknown option %q of a host", word)
		}
		h.Fallback = true
	}
	p.parts.Config.Hosts = append(p.parts.Config.Hosts, h)
	return nil
}

func (p *textParser) block(w []string) error {
	if len(p.parts.Config.Hosts) == 0 {
		return errors.New("no host above this block")
	}
	order, err := indexOf[Order](orderNames, w[1], "order")
	if err != nil {
		return err
	}
	b := Block{Dialect: w[0], Order: order}
	for _, word := range w[2:] {
		switch word {
		case "merge-slashes":
			b.MergeSlashes = true
		case "decode-reserved":
			b.DecodeReserved = true
		default:
			return fmt.Errorf("unknown option %q of a block", word)
		}
	}
	h := &p.parts.Config.Hosts[len(p.parts.Config.Hosts)-1]
	h.Blocks = append(h.Blocks, b)
	return nil
}

func (p *textParser) rule(w []string) error {
	hosts := p.parts.Config.Hosts
	if len(hosts) == 0 || len(hosts[len(hosts)-1].Blocks) == 0 {
		return errors.New("no block above this rule")
	}
	kind, value, found := strings.Cut(w[1], ":")
	if !found {
		return fmt.Errorf("%q is not kind:path", w[1])
	}
	k, err := indexOf[PathKind](pathNames, kind, "path kind")
	if err != nil {
		return err
	}
	r := Rule{ID: w[0], Path: PathMatch{k, value}}
	for _, word := range w[2:] {
		if err := ruleOption(&r, word); err != nil {
			return err
		}
	}
	blocks := hosts[len(hosts)-1].Blocks
	last := &blocks[len(blocks)-1]
	last.Rules = append(last.Rules, r)
	p.below = nil
	return nil
}

// backend reads a backend of the rule or L4 route above it.
func (p *textParser) backend(w []string) error {
	if p.below != nil {
		return addBackend(&p.below.Backends, w)
	}
	r := p.lastRule()
	if r == nil || r.Forward == nil {
		return errors.New("no rule that forwards above this backend")
	}
	return addBackend(&r.Forward.Backends, w)
}

func addBackend(to *[]Backend, w []string) error {
	weight, err := strconv.ParseUint(w[1], 10, 32)
	if err != nil {
		return fmt.Errorf("%q is not a weight", w[1])
	}
	var options Rule // the options that backends share with rules
	for _, word := range w[2:] {
		key, _, _ := strings.Cut(word, "=")
		if !isBackendOption(key) {
			return fmt.Errorf("unknown option %q of a backend", key)
		}
		if err := ruleOption(&options, word); err != nil {
			return err
		}
	}
	b := Backend{Weight: uint32(weight), Respond: options.Respond, Filters: options.Filters}
	if w[0] != noService {
		b.Service = ParseServiceID(w[0])
	}
	*to = append(*to, b)
	return nil
}

func (p *textParser) lastRule() *Rule {
	hosts := p.parts.Config.Hosts
	if len(hosts) == 0 || len(hosts[len(hosts)-1].Blocks) == 0 {
		return nil
	}
	blocks := hosts[len(hosts)-1].Blocks
	rules := blocks[len(blocks)-1].Rules
	if len(rules) == 0 {
		return nil
	}
	return &rules[len(rules)-1]
}

// isBackendOption reports whether an option of a rule is also one of a backend.
func isBackendOption(key string) bool {
	kind := filterByWord[key]
	return strings.HasPrefix(key, "respond") || key == "why" || key == editKind.Name || kind != nil && kind.InBackends
}

// ruleOptions read the options of a rule, except its filters. Options that depend on
// forward or respond must follow it.
var ruleOptions = map[string]func(*Rule, string) error{
	"when": func(r *Rule, v string) (err error) {
		r.When, err = parsePredicate(v)
		return err
	},
	"rank": func(r *Rule, v string) error {
		n, err := strconv.ParseUint(v, 10, 32)
		r.Rank = uint32(n)
		return err
	},
	"forward": func(r *Rule, v string) (err error) {
		r.Forward = &Forward{}
		if v != "" {
			r.Forward.Backends, err = backendsOf(v)
		}
		return err
	},
	"timeout": func(r *Rule, v string) error {
		return durationOption(r.Forward, v, func(f *Forward) *time.Duration { return &f.Timeout })
	},
	"attempt-timeout": func(r *Rule, v string) error {
		return durationOption(r.Forward, v, func(f *Forward) *time.Duration { return &f.AttemptTimeout })
	},
	"retry": func(r *Rule, v string) error {
		n, err := strconv.Atoi(v)
		if err != nil {
			return err
		}
		return setOn(r.Forward, func(f *Forward) { f.Retry = &Retry{Attempts: n} })
	},
	"retry-codes": func(r *Rule, v string) error {
		return onRetry(r, func(t *Retry) (err error) { t.Codes, err = numbersOf(v); return err })
	},
	"backoff": func(r *Rule, v string) error {
		return onRetry(r, func(t *Retry) (err error) { t.Backoff, err = time.ParseDuration(v); return err })
	},
	"affinity": func(r *Rule, v string) error {
		carrier, name, _ := strings.Cut(v, ":")
		if carrier != "cookie" && carrier != "header" {
			return fmt.Errorf("%q is neither cookie nor header", carrier)
		}
		return setOn(r.Forward, func(f *Forward) { f.Affinity = &Affinity{Name: name, Header: carrier == "header"} })
	},
	"affinity-absolute": func(r *Rule, v string) error {
		return onAffinity(r, func(s *Affinity) (err error) { s.Absolute, err = time.ParseDuration(v); return err })
	},
	"affinity-idle": func(r *Rule, v string) error {
		return onAffinity(r, func(s *Affinity) (err error) { s.Idle, err = time.ParseDuration(v); return err })
	},
	"affinity-permanent": func(r *Rule, _ string) error {
		return onAffinity(r, func(s *Affinity) error { s.Permanent = true; return nil })
	},
	"affinity-path": func(r *Rule, v string) error {
		return onAffinity(r, func(s *Affinity) error { s.Path = v; return nil })
	},
	"connect": func(r *Rule, v string) error {
		return durationOption(r.Forward, v, func(f *Forward) *time.Duration { return &f.ConnectTimeout })
	},
	"read": func(r *Rule, v string) error {
		return durationOption(r.Forward, v, func(f *Forward) *time.Duration { return &f.ReadTimeout })
	},
	"send": func(r *Rule, v string) error {
		return durationOption(r.Forward, v, func(f *Forward) *time.Duration { return &f.SendTimeout })
	},
	"respond": func(r *Rule, v string) error {
		status, name, _ := strings.Cut(v, ":")
		n, err := strconv.Atoi(status)
		if err != nil {
			return err
		}
		outcome, err := outcomeOf(name)
		r.Respond = &Respond{Status: n, Outcome: outcome}
		return err
	},
	"why":          func(r *Rule, v string) error { return setOn(r.Respond, func(a *Respond) { a.Why = v }) },
	"respond-body": func(r *Rule, v string) error { return setOn(r.Respond, func(a *Respond) { a.Body = v }) },
	"respond-header": func(r *Rule, v string) error {
		name, value, found := strings.Cut(v, ":")
		if !found {
			return fmt.Errorf("%q is not name:value", v)
		}
		return setOn(r.Respond, func(a *Respond) { a.Headers = append(a.Headers, Header{name, value}) })
	},
}

// pathEditOf reads what pathWord writes.
func pathEditOf(v string) *PathEdit {
	if prefix, with, found := strings.Cut(v, ">"); found {
		return &PathEdit{Prefix: prefix, With: with}
	}
	return &PathEdit{With: v}
}

func numbersOf(list string) ([]int, error) {
	var out []int
	for _, word := range strings.Split(list, ",") {
		n, err := strconv.Atoi(word)
		if err != nil {
			return nil, err
		}
		out = append(out, n)
	}
	return out, nil
}

var errNothingAbove = errors.New("what it belongs to does not stand before it")

func onRetry(r *Rule, set func(*Retry) error) error {
	if r.Forward == nil || r.Forward.Retry == nil {
		return errNothingAbove
	}
	return set(r.Forward.Retry)
}

func onAffinity(r *Rule, set func(*Affinity) error) error {
	if r.Forward == nil || r.Forward.Affinity == nil {
		return errNothingAbove
	}
	return set(r.Forward.Affinity)
}

func ruleOption(r *Rule, word string) error {
	key, value, _ := strings.Cut(word, "=")
	known, err := r.Filters.option(key, value)
	if !known {
		known, err = redirectOption(r, key, value)
	}
	if read := ruleOptions[key]; !known && read != nil {
		known, err = true, read(r, value)
	}
	switch {
	case !known:
		return fmt.Errorf("unknown option %q of a rule", key)
	case err != nil:
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}

// setOn sets a field of on, which an earlier option must have made.
func setOn[T any](on *T, set func(*T)) error {
	if on == nil {
		return errNothingAbove
	}
	set(on)
	return nil
}

func durationOption(f *Forward, value string, field func(*Forward) *time.Duration) error {
	d, err := time.ParseDuration(value)
	if err != nil {
		return err
	}
	return setOn(f, func(f *Forward) { *field(f) = d })
}

func (p *textParser) secret(w []string) error {
	p.parts.Secrets = append(p.parts.Secrets, Secret{Name: w[0], Digest: w[1]})
	return nil
}

func (p *textParser) origin(w []string) error {
	var o reason.Origin
	fields := map[string]*string{"kind": &o.Kind, "namespace": &o.Namespace, "name": &o.Name, "file": &o.File, "field": &o.Field}
	for _, word := range w[1:] {
		key, value, _ := strings.Cut(word, "=")
		if key == "line" {
			n, err := strconv.Atoi(value)
			if err != nil {
				return err
			}
			o.Line = n
			continue
		}
		field, known := fields[key]
		if !known {
			return fmt.Errorf("unknown option %q of an origin", key)
		}
		*field = value
	}
	if p.parts.Origins == nil {
		p.parts.Origins = map[string]reason.Origin{}
	}
	p.parts.Origins[w[0]] = o
	return nil
}
