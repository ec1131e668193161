package model

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"windrose.dev/windrose/internal/reason"
)

// ErrText is wrapped by all errors of Parse.
var ErrText = errors.New("not a snapshot in text form")

// Parse reads the text form. Empty lines and lines that begin with # are
// passed over. The first line that is wrong is the error.
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

// Load reads a Snapshot in either form.
func Load(data []byte) (*Snapshot, error) {
	if IsWire(data) {
		return Decode(data)
	}
	return Parse(string(data))
}

// splitWords splits at spaces; a word may be quoted as a whole, as in Go.
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

type textParser struct{ parts Parts }

// lineForm is what one kind of line needs and who reads it.
type lineForm struct {
	words int // the fewest words after the first
	read  func(*textParser, []string) error
}

func (p *textParser) line(words []string) error {
	forms := map[string]lineForm{
		"listener":    {2, (*textParser).listener},
		"certificate": {3, (*textParser).certificate},
		"host":        {1, (*textParser).host},
		"block":       {2, (*textParser).block},
		"rule":        {2, (*textParser).rule},
		"service":     {2, (*textParser).service},
		"endpoint":    {2, (*textParser).endpoint},
		"secret":      {2, (*textParser).secret},
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

func (p *textParser) listener(w []string) error {
	port, err := portOf(w[0])
	if err != nil {
		return err
	}
	protocol, err := indexOf[Protocol](protocolNames, w[1], "protocol")
	if err != nil {
		return err
	}
	p.parts.Config.Listeners = append(p.parts.Config.Listeners, Listener{Port: port, Protocol: protocol})
	return nil
}

func (p *textParser) certificate(w []string) error {
	port, err := portOf(w[0])
	if err != nil {
		return err
	}
	for i := range p.parts.Config.Listeners {
		if l := &p.parts.Config.Listeners[i]; l.Port == port {
			l.Certificates = append(l.Certificates, Certificate{Host: w[1], Secret: w[2]})
			return nil
		}
	}
	return fmt.Errorf("no listener %d above this line", port)
}

func (p *textParser) host(w []string) error {
	h := Host{Name: w[0]}
	if len(w) > 1 && w[1] != "" {
		for _, word := range strings.Split(w[1], ",") {
			port, err := portOf(word)
			if err != nil {
				return err
			}
			h.Ports = append(h.Ports, port)
		}
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
	return nil
}

// ruleOptions reads the options of a rule. Those that need forward, respond or
// cors stand after it.
var ruleOptions = map[string]func(*Rule, string) error{
	"forward": func(r *Rule, v string) (err error) {
		r.Forward = &Forward{}
		r.Forward.Backends, err = backendsOf(v)
		return err
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
	"why": func(r *Rule, v string) error {
		return setOn(r.Respond, func(a *Respond) { a.Why = v })
	},
	"tls-redirect": func(r *Rule, v string) error {
		status, port, _ := strings.Cut(v, ":")
		n, err := strconv.Atoi(status)
		if err != nil {
			return err
		}
		to, err := portOf(port)
		r.TLSRedirect = &TLSRedirect{Status: n, Port: to}
		return err
	},
	"plain": func(r *Rule, v string) error {
		return setOn(r.TLSRedirect, func(t *TLSRedirect) { t.Except = append(t.Except, v) })
	},
	"rewrite": func(r *Rule, v string) error {
		r.Rewrite = &Rewrite{Target: v}
		return nil
	},
	"pattern": func(r *Rule, v string) error {
		return setOn(r.Rewrite, func(w *Rewrite) { w.Pattern = v })
	},
	"max-body": func(r *Rule, v string) (err error) {
		r.MaxBody, err = strconv.ParseInt(v, 10, 64)
		return err
	},
	"cors": func(r *Rule, v string) error {
		r.CORS = &CORS{}
		if v != "" {
			r.CORS.AllowOrigins = strings.Split(v, ",")
		}
		return nil
	},
	"cors-methods":     func(r *Rule, v string) error { return setOn(r.CORS, func(c *CORS) { c.AllowMethods = v }) },
	"cors-headers":     func(r *Rule, v string) error { return setOn(r.CORS, func(c *CORS) { c.AllowHeaders = v }) },
	"cors-expose":      func(r *Rule, v string) error { return setOn(r.CORS, func(c *CORS) { c.ExposeHeaders = v }) },
	"cors-credentials": func(r *Rule, _ string) error { return setOn(r.CORS, func(c *CORS) { c.Credentials = true }) },
	"cors-max-age": func(r *Rule, v string) error {
		n, err := strconv.Atoi(v)
		if err != nil {
			return err
		}
		return setOn(r.CORS, func(c *CORS) { c.MaxAge = n })
	},
}

func ruleOption(r *Rule, word string) error {
	key, value, _ := strings.Cut(word, "=")
	read, known := ruleOptions[key]
	if !known {
		return fmt.Errorf("unknown option %q of a rule", key)
	}
	if err := read(r, value); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}

// setOn sets a field of something that an option before must have made.
func setOn[T any](on *T, set func(*T)) error {
	if on == nil {
		return errors.New("what it belongs to does not stand before it")
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

func (p *textParser) service(w []string) error {
	balance, err := indexOf[Balance](balanceNames, w[1], "balance")
	p.parts.Config.Services = append(p.parts.Config.Services, Service{ID: w[0], Balance: balance})
	return err
}

func (p *textParser) endpoint(w []string) error {
	all := p.parts.Endpoints
	if len(all) == 0 || all[len(all)-1].Service != w[0] {
		all = append(all, Endpoints{Service: w[0]})
		p.parts.Endpoints = all
	}
	if w[1] == "none" {
		return nil
	}
	addr, err := netip.ParseAddrPort(w[1])
	if err != nil {
		return err
	}
	ep := Endpoint{Addr: addr}
	for _, word := range w[2:] {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "pod":
			ep.Pod = value
		case "terminating":
			ep.Terminating = true
		default:
			return fmt.Errorf("unknown option %q of an endpoint", key)
		}
	}
	last := &all[len(all)-1]
	last.Endpoints = append(last.Endpoints, ep)
	return nil
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
