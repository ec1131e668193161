package model

import (
	"errors"
	"fmt"
	"iter"
	"regexp/syntax"
	"slices"
	"strings"
	"time"
	"unicode"

	"windrose.dev/windrose/internal/reason"
)

// MaxRegexLength bounds a path expression or rewrite pattern, in bytes.
const MaxRegexLength = 1024

// MaxPathDepth bounds the elements of a path prefix, and so the cost of looking up a
// hostile path.
const MaxPathDepth = 63

// Validate checks parts that came from outside before they are compiled: every reference
// must resolve, and every value must be one that the model defines. It returns all
// errors, joined.
func Validate(p *Parts) error { return validate(p, func(int) bool { return false }) }

// validate is Validate, but skips the checks within a host for which sound returns true.
func validate(p *Parts, sound func(host int) bool) error {
	v := validator{
		services: map[ServiceID]bool{}, secrets: map[string]bool{}, bundles: map[string]bool{}, listeners: map[ListenerID]bool{},
		hosts: map[hostPlace]bool{}, rules: map[string]*Host{},
		protocols: map[ListenerID]Protocol{}, l4Routes: map[hostPlace]bool{}, spoken: map[ServiceID]bool{}, secured: map[ServiceID]bool{}, proxied: map[ServiceID]bool{},
	}
	for _, s := range p.Secrets {
		v.unique(v.secrets, "secret", s.Name)
	}
	for _, b := range p.Bundles {
		v.unique(v.bundles, "bundle", b.Name)
	}
	for _, s := range p.Config.Services {
		v.service(s)
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
	v.allL4Routes(p.Config.L4Routes)
	for id := range p.Origins {
		v.name("origin", id)
	}
	served := map[ServiceID]bool{}
	for i := range p.Endpoints {
		v.check(!served[p.Endpoints[i].Service], "endpoints of %s stand twice", p.Endpoints[i].Service)
		served[p.Endpoints[i].Service] = true
		v.endpoints(&p.Endpoints[i], v.services[p.Endpoints[i].Service])
	}
	return errors.Join(v.errs...)
}

type validator struct {
	services         map[ServiceID]bool
	secrets, bundles map[string]bool
	spoken, secured  map[ServiceID]bool // services with HTTP, or with TLS
	proxied          map[ServiceID]bool // services that expect PROXY protocol headers
	rules            map[string]*Host   // the last host that has each rule
	listeners        map[ListenerID]bool
	protocols        map[ListenerID]Protocol
	hosts, l4Routes  map[hostPlace]bool
	errs             []error
}

// hostPlace is a host, or the name of an L4 route, on one listener.
type hostPlace struct {
	name     string
	listener ListenerID
}

func (v *validator) check(ok bool, format string, args ...any) bool {
	if !ok {
		v.errs = append(v.errs, fmt.Errorf(format, args...))
	}
	return ok
}

func (v *validator) unique(seen map[string]bool, what, name string) {
	v.name(what, name)
	v.check(!seen[name], "%s %s stands twice", what, name)
	seen[name] = true
}

// name checks an identifier: it must not be empty, and must be printable.
func (v *validator) name(what, name string) {
	v.check(name != "", "%s without a name", what)
	v.check(strings.IndexFunc(name, unicode.IsControl) < 0, "%s %q has control characters", what, name)
}

func (v *validator) listener(l Listener) {
	v.check(l.ID.Port != 0, "listener %s without a port", l.ID)
	v.check(!strings.ContainsAny(l.ID.Gateway, ",:"), "listener %s: a comma or colon in its Gateway", l.ID)
	v.check(strings.IndexFunc(l.ID.Gateway, unicode.IsControl) < 0, "listener %q has control characters", l.ID)
	v.check(!v.listeners[l.ID], "listener %s stands twice", l.ID)
	v.listeners[l.ID] = true
	v.check(l.Protocol <= UDP, "listener %s: unknown protocol %d", l.ID, l.Protocol)
	v.check((l.Protocol == UDP) == l.ID.UDP, "listener %s: its name says another protocol", l.ID)
	v.protocols[l.ID] = l.Protocol
	v.clientAuth(l)
	v.access("listener "+l.ID.String(), l.Access, true)
	for _, c := range l.Certificates {
		v.name("certificate", c.Host)
		v.check(v.secrets[c.Secret], "listener %s: no secret %s", l.ID, c.Secret)
		v.tlsPolicy("certificate "+c.Host, c.Policy)
	}
}

// place checks a host against the rest of the Snapshot: its listeners, the names and
// rules of other hosts, and its services.
func (v *validator) place(h *Host) {
	for _, id := range h.Listeners {
		at := hostPlace{h.Name, id}
		v.check(v.listeners[id], "host %s: no listener %s", h.Name, id)
		v.check(v.protocols[id] <= HTTPS, "host %s: listener %s does not speak HTTP", h.Name, id)
		v.check(!v.hosts[at], "host %s stands twice on %s", h.Name, id)
		v.hosts[at] = true
	}
	for i := range h.Blocks {
		for j := range h.Blocks[i].Rules {
			r := &h.Blocks[i].Rules[j]
			v.check(v.rules[r.ID] != h, "rule %s stands twice at one host", r.ID)
			v.rules[r.ID] = h
			for id := range r.Services() {
				v.check(v.services[id], "rule %s: no service %s", r.ID, id)
			}
		}
	}
}

// Services yields every service that a rule names, once for each mention.
func (r *Rule) Services() iter.Seq[ServiceID] {
	return func(yield func(ServiceID) bool) {
		if !r.Filters.eachService(yield) || r.Forward == nil {
			return
		}
		for i := range r.Forward.Backends {
			b := &r.Forward.Backends[i]
			if !b.Service.IsZero() && !yield(b.Service) || !b.Filters.eachService(yield) {
				return
			}
		}
	}
}

// host checks a host by itself.
func (v *validator) host(h *Host) {
	v.name("host", h.Name)
	v.check(h.Name == strings.ToLower(h.Name), "host %q is not lower-case", h.Name)
	for _, b := range h.Blocks {
		v.name("block", b.Dialect)
		v.check(b.Order <= FirstMatch, "host %s: unknown order %d", h.Name, b.Order)
		for i := range b.Rules {
			v.rule(&b.Rules[i])
		}
	}
}

// Validate returns what is wrong within a rule. Whether its services exist is checked
// with the Snapshot.
func (r *Rule) Validate() error {
	var v validator
	v.rule(r)
	return errors.Join(v.errs...)
}

func (v *validator) rule(r *Rule) {
	v.name("rule", r.ID)
	v.pathMatch("rule "+r.ID, r.Path)
	if r.When != nil {
		v.predicate("rule "+r.ID, r.When)
	}
	v.filters(r.ID, r.Filters)
	ends := 0
	for _, set := range []bool{r.Forward != nil, r.Redirect != nil, r.Respond != nil} {
		if set {
			ends++
		}
	}
	v.check(ends == 1, "rule %s: not exactly one of forward, redirect and respond", r.ID)
	v.respond(r.ID, r.Respond)
	v.redirect(r.ID, r.Redirect)
	if r.Forward != nil {
		v.forward(r.ID, r.Forward)
	}
}

// cors checks the values that are copied into header fields.
func (v *validator) cors(id string, c *CORS) {
	for _, origin := range c.AllowOrigins {
		v.check(!strings.Contains(origin, ","), "rule %s: a comma in an origin", id)
	}
	for _, value := range append(slices.Clone(c.AllowOrigins), c.AllowMethods, c.AllowHeaders, c.ExposeHeaders) {
		v.check(strings.IndexFunc(value, unicode.IsControl) < 0, "rule %s: the CORS value %q has control characters", id, value)
	}
}

// Validate returns what is wrong with a path match.
func (p PathMatch) Validate() error {
	var v validator
	v.pathMatch("path", p)
	return errors.Join(v.errs...)
}

func (v *validator) pathMatch(what string, p PathMatch) {
	v.check(p.Kind <= RawPrefixPath, "%s: unknown path kind %d", what, p.Kind)
	switch p.Kind {
	case ExactPath, PrefixPath, RawPrefixPath:
		v.check(strings.HasPrefix(p.Value, "/"), "%s: path %q does not start with /", what, p.Value)
		v.check(p.Kind != PrefixPath || strings.Count(p.Value, "/") <= MaxPathDepth, "%s: a prefix of more than %d elements", what, MaxPathDepth)
		v.check(p.Kind != PrefixPath || p.Value == "/" || !strings.HasSuffix(p.Value, "/"), "%s: prefix %q ends with a slash; the form without is the one", what, p.Value)
	case RegexPath:
		v.regex(what, p.Value)
	}
}

func (v *validator) respond(id string, a *Respond) {
	if a != nil {
		v.check(a.Status >= 200 && a.Status <= 599, "rule %s: status %d", id, a.Status)
		v.check(int(a.Outcome) < len(reason.Outcomes()), "rule %s: unknown outcome %d", id, uint8(a.Outcome))
		v.check(len(a.Body) <= MaxRespondBody, "rule %s: an answer of more than %d bytes", id, MaxRespondBody)
		v.check(a.Body == "" || a.Status != 204 && a.Status != 304, "rule %s: an answer with a body and status %d", id, a.Status)
		for _, h := range a.Headers {
			v.check(isToken(h.Name) && isFieldValue(h.Value), "rule %s: field %q of an answer is none", id, h.Name)
			name := strings.ToLower(h.Name)
			v.check(!framing[name] || name == "content-type" || name == "set-cookie", "rule %s: an answer cannot set %s", id, h.Name)
		}
	}
}

func (v *validator) redirect(id string, r *Redirect) {
	if r == nil {
		return
	}
	v.check(slices.Contains([]int{301, 302, 303, 307, 308}, r.Status), "rule %s: redirect with status %d", id, r.Status)
	v.check(r.Scheme == "" || r.Scheme == "http" || r.Scheme == "https", "rule %s: redirect to scheme %q", id, r.Scheme)
	v.check(isHostText(r.Host), "rule %s: redirect to host %q", id, r.Host)
	v.path(id, r.Path)
}

func (v *validator) rewrite(id string, w *Rewrite) {
	v.check((w.Pattern != "") == (w.Target != "") || w.Pattern != "", "rule %s: a rewrite target without a pattern", id)
	v.check(w.Pattern == "" || w.Path == nil, "rule %s: two rewrites of the path", id)
	v.check(w.Pattern != "" || w.Path != nil || w.Host != "", "rule %s: a rewrite of nothing", id)
	v.check(isHostText(w.Host), "rule %s: rewrite to host %q", id, w.Host)
	v.regex("rule "+id, w.Pattern)
	v.path(id, w.Path)
}

func isHostText(host string) bool {
	return !strings.ContainsFunc(host, func(c rune) bool { return c <= ' ' || c >= 0x7f || strings.ContainsRune("/?#@\\", c) })
}

func (v *validator) path(id string, p *PathEdit) {
	if p == nil {
		return
	}
	for _, text := range []string{p.Prefix, p.With} {
		bad := strings.ContainsFunc(text, func(c rune) bool { return c <= ' ' || c >= 0x7f || strings.ContainsRune(">?#", c) })
		v.check(!bad, "rule %s: %q cannot be a path", id, text)
	}
	v.check(p.Prefix == "" || p.Prefix[0] == '/', "rule %s: prefix %q does not start with /", id, p.Prefix)
}

func (v *validator) edit(id string, e *Edit) {
	for _, side := range []*HeaderEdit{e.Request, e.Response} {
		if side == nil {
			continue
		}
		for _, name := range side.Remove {
			v.check(isToken(name), "rule %s: %q is no field name", id, name)
		}
		for _, h := range slices.Concat(side.Set, side.Add) {
			v.check(isToken(h.Name), "rule %s: %q is no field name", id, h.Name)
			v.check(isFieldValue(h.Value), "rule %s: a control character in field %s", id, h.Name)
		}
	}
}

// isToken reports whether name can be a field name (RFC 9110 §5.6.2).
func isToken(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(c rune) bool {
		return c <= ' ' || c >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, c)
	})
}

// isFieldValue reports whether value can stand in a field (RFC 9110 §5.5).
func isFieldValue(value string) bool {
	return !strings.ContainsFunc(value, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) &&
		strings.TrimSpace(value) == value
}

func (v *validator) forward(id string, f *Forward) {
	v.check(len(f.Backends) > 0, "rule %s: no backend", id)
	for i := range f.Backends {
		b := &f.Backends[i]
		v.check(b.Service.IsZero() == (b.Respond != nil), "rule %s: a backend with not exactly one of service and respond", id)
		v.respond(id, b.Respond)
		v.filters(id, b.Filters)
		for _, f := range b.Filters {
			v.check(f.Kind().InBackends, "rule %s: a backend with a filter %s", id, f.Kind().Name)
		}
	}
	for _, d := range []time.Duration{f.ConnectTimeout, f.ReadTimeout, f.SendTimeout, f.Timeout, f.AttemptTimeout} {
		v.check(d >= 0, "rule %s: negative timeout", id)
	}
	if r := f.Retry; r != nil {
		v.check(r.Attempts >= 0 && r.Attempts <= MaxRetries, "rule %s: %d retries", id, r.Attempts)
		v.check(r.Backoff >= 0, "rule %s: negative backoff", id)
		v.check(slices.IsSorted(r.Codes), "rule %s: retry codes not in order", id)
	}
	if s := f.Affinity; s != nil {
		v.check(isToken(s.Name) && !(s.Header && framing[strings.ToLower(s.Name)]), "rule %s: %q cannot carry a session", id, s.Name)
		v.check(s.Absolute >= 0 && s.Idle >= 0, "rule %s: negative session time", id)
		v.check(isFieldValue(s.Path) && !strings.Contains(s.Path, ";"), "rule %s: %q cannot be a cookie's path", id, s.Path)
	}
}

// framing are the fields that control how a message is read, and by whom.
var framing = map[string]bool{
	"host": true, "content-length": true, "transfer-encoding": true, "connection": true, "keep-alive": true, "te": true,
	"trailer": true, "upgrade": true, "expect": true, "set-cookie": true, "cookie": true, "content-type": true, "date": true,
}

// MaxRetries bounds the number of times that a rule may repeat a request.
const MaxRetries = 100

func (v *validator) regex(what, expr string) {
	v.check(len(expr) <= MaxRegexLength, "%s: expression longer than %d bytes", what, MaxRegexLength)
	if len(expr) <= MaxRegexLength {
		_, err := syntax.Parse(expr, syntax.Perl) // what can fail of regexp.Compile, at half the cost
		v.check(err == nil, "%s: %v", what, err)
	}
}
