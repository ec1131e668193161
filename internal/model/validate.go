package model

import (
	"errors"
	"fmt"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode"

	"windrose.dev/windrose/internal/reason"
)

// MaxRegexLength bounds a path expression or rewrite pattern, in bytes.
const MaxRegexLength = 1024

// MaxPathDepth bounds the elements of a path prefix, and so what the lookup of
// a hostile path can cost.
const MaxPathDepth = 63

// Validate tells whether parts that came from outside can be compiled: every
// reference leads somewhere, every value is one that the model defines. It
// returns all that is wrong, joined.
func Validate(p *Parts) error { return validate(p, func(int) bool { return false }) }

// validate is Validate, but that it takes a host for sound within itself where
// sound says so.
func validate(p *Parts, sound func(host int) bool) error {
	v := validator{
		services: map[string]bool{}, secrets: map[string]bool{}, ports: map[uint16]bool{},
		hosts: map[hostPort]bool{}, rules: map[string]bool{},
	}
	for _, s := range p.Config.Services {
		v.unique(v.services, "service", s.ID)
		v.check(!strings.ContainsAny(s.ID, ",*"), "service %q: a comma or star in its name", s.ID)
		v.check(s.Balance <= LeastRequest, "service %s: unknown balance %d", s.ID, s.Balance)
	}
	for _, s := range p.Secrets {
		v.unique(v.secrets, "secret", s.Name)
	}
	for _, l := range p.Config.Listeners {
		v.listener(l)
	}
	for i := range p.Config.Hosts {
		h := &p.Config.Hosts[i]
		if !sound(i) {
			v.host(h)
		}
		v.place(h)
	}
	for id := range p.Origins {
		v.name("origin", id)
	}
	served := map[string]bool{}
	for _, e := range p.Endpoints {
		v.unique(served, "endpoints of", e.Service)
		v.check(v.services[e.Service], "endpoints of %s: no such service", e.Service)
		for _, ep := range e.Endpoints {
			v.check(ep.Addr.IsValid() && ep.Addr.Port() != 0, "endpoints of %s: %s is no address", e.Service, ep.Addr)
		}
	}
	return errors.Join(v.errs...)
}

type validator struct {
	services, secrets, rules map[string]bool
	ports                    map[uint16]bool
	hosts                    map[hostPort]bool
	errs                     []error
}

// hostPort is a host on one listener.
type hostPort struct {
	name string
	port uint16
}

func (v *validator) check(ok bool, format string, args ...any) {
	if !ok {
		v.errs = append(v.errs, fmt.Errorf(format, args...))
	}
}

func (v *validator) unique(seen map[string]bool, what, name string) {
	v.name(what, name)
	v.check(!seen[name], "%s %s stands twice", what, name)
	seen[name] = true
}

// name checks an identifier: something, and printable.
func (v *validator) name(what, name string) {
	v.check(name != "", "%s without a name", what)
	v.check(strings.IndexFunc(name, unicode.IsControl) < 0, "%s %q has control characters", what, name)
}

func (v *validator) listener(l Listener) {
	v.check(l.Port != 0, "listener without a port")
	v.check(!v.ports[l.Port], "listener %d stands twice", l.Port)
	v.ports[l.Port] = true
	v.check(l.Protocol <= HTTPS, "listener %d: unknown protocol %d", l.Port, l.Protocol)
	for _, c := range l.Certificates {
		v.name("certificate", c.Host)
		v.check(v.secrets[c.Secret], "listener %d: no secret %s", l.Port, c.Secret)
	}
}

// place checks what a host has to do with the rest: its listeners, its name
// and rules beside others, its services.
func (v *validator) place(h *Host) {
	for _, port := range h.Ports {
		at := hostPort{h.Name, port}
		v.check(v.ports[port], "host %s: no listener %d", h.Name, port)
		v.check(!v.hosts[at], "host %s stands twice on %d", h.Name, port)
		v.hosts[at] = true
	}
	for i := range h.Blocks {
		for j := range h.Blocks[i].Rules {
			r := &h.Blocks[i].Rules[j]
			v.check(!v.rules[r.ID], "rule %s stands twice", r.ID)
			v.rules[r.ID] = true
			if r.Forward == nil {
				continue
			}
			for _, b := range r.Forward.Backends {
				v.check(v.services[b.Service], "rule %s: no service %s", r.ID, b.Service)
			}
		}
	}
}

// host checks what a host says within itself.
func (v *validator) host(h *Host) {
	v.name("host", h.Name)
	v.check(h.Name == strings.ToLower(h.Name), "host %q is not lower-case", h.Name)
	for _, b := range h.Blocks {
		v.name("block", b.Dialect)
		v.check(b.Order <= FirstMatch, "host %s: unknown order %d", h.Name, b.Order)
		for i := range b.Rules {
			v.rule(&b.Rules[i], b.Order)
		}
	}
}

func (v *validator) rule(r *Rule, order Order) {
	v.name("rule", r.ID)
	v.check(r.Path.Kind <= RegexPath, "rule %s: unknown path kind %d", r.ID, r.Path.Kind)
	switch r.Path.Kind {
	case ExactPath, PrefixPath:
		v.check(strings.HasPrefix(r.Path.Value, "/"), "rule %s: path %q does not start with /", r.ID, r.Path.Value)
		v.check(r.Path.Kind == ExactPath || strings.Count(r.Path.Value, "/") <= MaxPathDepth, "rule %s: a prefix of more than %d elements", r.ID, MaxPathDepth)
		v.check(r.Path.Kind == ExactPath || r.Path.Value == "/" || !strings.HasSuffix(r.Path.Value, "/"), "rule %s: prefix %q ends with a slash; the form without is the one", r.ID, r.Path.Value)
	case RegexPath:
		v.check(order == FirstMatch, "rule %s: an expression needs a first-match block", r.ID)
		v.regex(r.ID, r.Path.Value)
	}
	if r.Rewrite != nil {
		v.regex(r.ID, r.Rewrite.Pattern)
	}
	if r.TLSRedirect != nil {
		v.check(r.TLSRedirect.Status/100 == 3, "rule %s: redirect with status %d", r.ID, r.TLSRedirect.Status)
	}
	v.check(r.MaxBody >= 0, "rule %s: negative body limit", r.ID)
	if r.CORS != nil {
		v.cors(r.ID, r.CORS)
	}
	v.check((r.Forward == nil) != (r.Respond == nil), "rule %s: not exactly one of forward and respond", r.ID)
	if r.Respond != nil {
		v.check(r.Respond.Status >= 200 && r.Respond.Status <= 599, "rule %s: status %d", r.ID, r.Respond.Status)
		v.check(int(r.Respond.Outcome) < len(reason.Outcomes()), "rule %s: unknown outcome %d", r.ID, uint8(r.Respond.Outcome))
	}
	if r.Forward != nil {
		v.forward(r.ID, r.Forward)
	}
}

// cors checks what goes into header fields as it is.
func (v *validator) cors(id string, c *CORS) {
	for _, origin := range c.AllowOrigins {
		v.check(!strings.Contains(origin, ","), "rule %s: a comma in an origin", id)
	}
	for _, value := range append(slices.Clone(c.AllowOrigins), c.AllowMethods, c.AllowHeaders, c.ExposeHeaders) {
		v.check(strings.IndexFunc(value, unicode.IsControl) < 0, "rule %s: the CORS value %q has control characters", id, value)
	}
}

func (v *validator) forward(id string, f *Forward) {
	v.check(len(f.Backends) > 0, "rule %s: no backend", id)
	v.check(f.ConnectTimeout >= 0 && f.ReadTimeout >= 0 && f.SendTimeout >= 0, "rule %s: negative timeout", id)
}

func (v *validator) regex(id, expr string) {
	v.check(len(expr) <= MaxRegexLength, "rule %s: expression longer than %d bytes", id, MaxRegexLength)
	if len(expr) <= MaxRegexLength {
		_, err := syntax.Parse(expr, syntax.Perl) // half of what regexp.Compile does, and all that can fail
		v.check(err == nil, "rule %s: %v", id, err)
	}
}
