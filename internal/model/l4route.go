package model

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"
)

// L4Route is a rule of layer 4: it says where the connections, or the UDP flows, of a
// listener go, whatever bytes they carry.
type L4Route struct {
	// ID is stable over rebuilds, like a Rule.ID. An L4 route with several names or
	// listeners counts as one in metrics and logs.
	ID       string     `cbor:"1,keyasint" json:"id"`
	Listener ListenerID `cbor:"2,keyasint" json:"listener"`
	// Name is the TLS server name that it matches (RFC 6066 §3), in the forms of
	// Host.Name. It is empty on TCP and UDP listeners, which have at most one L4 route.
	// On an HTTPS listener a connection goes to the most specific of all names, those of
	// L4 routes and those of hosts; if both have the same name, the L4 route wins.
	Name string `cbor:"3,keyasint,omitempty" json:"name,omitempty"`
	// Terminate ends TLS at the proxy, with the listener's certificates; otherwise the
	// backend gets the client's own TLS.
	Terminate bool `cbor:"4,keyasint,omitempty" json:"terminate,omitempty"`
	// Backends share the connections by weight. Each is a Service, which gets the bytes
	// in plain text or over the proxy's own TLS, or a Respond, which refuses its share.
	// Fields of Backend that apply to requests only are not set.
	Backends []Backend `cbor:"5,keyasint,omitempty" json:"backends,omitempty"`
	// Respond refuses everything: connections are reset, datagrams are dropped. Exactly
	// one of Backends and Respond is set.
	Respond *Respond `cbor:"6,keyasint,omitempty" json:"respond,omitempty"`
	// ConnectTimeout bounds one attempt to connect; 0 is 5 s.
	ConnectTimeout time.Duration `cbor:"7,keyasint,omitempty" json:"connectTimeout,omitempty"`
	// IdleTimeout bounds the time without bytes in either direction; 0 is the proxy's own
	// limit for tunnels, or for UDP flows.
	IdleTimeout time.Duration `cbor:"8,keyasint,omitempty" json:"idleTimeout,omitempty"`
	// Access says who may open a connection, in addition to the listener's Access.
	Access *Access `cbor:"9,keyasint,omitempty" json:"access,omitempty"`
}

func compareL4Routes(a, b L4Route) int {
	return cmp.Or(a.Listener.Compare(b.Listener), cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
}

// named reports whether connections of the protocol carry a server name.
func (p Protocol) named() bool { return p == HTTPS || p == TLS }

// Validate returns what is wrong within an L4 route. Whether its services exist is
// checked with the Snapshot.
func (r *L4Route) Validate() error {
	var v validator
	v.l4Route(r)
	return errors.Join(v.errs...)
}

func (v *validator) allL4Routes(all []L4Route) {
	for i := range all {
		v.l4Route(&all[i])
		v.placeL4Route(&all[i])
	}
}

// l4Route checks an L4 route by itself.
func (v *validator) l4Route(r *L4Route) {
	v.name("l4-route", r.ID)
	if r.Name != "" {
		v.name("L4 route "+r.ID+": name", r.Name)
		v.check(r.Name == strings.ToLower(r.Name), "L4 route %s: name %q is not lower-case", r.ID, r.Name)
	}
	v.check((len(r.Backends) > 0) != (r.Respond != nil), "L4 route %s: not exactly one of backends and respond", r.ID)
	v.check(r.ConnectTimeout >= 0 && r.IdleTimeout >= 0, "L4 route %s: negative timeout", r.ID)
	v.respond(r.ID, r.Respond)
	v.access("L4 route "+r.ID, r.Access, true)
	for i := range r.Backends {
		b := &r.Backends[i]
		v.check(b.Service.IsZero() == (b.Respond != nil), "L4 route %s: a backend with not exactly one of service and respond", r.ID)
		v.check(len(b.Filters) == 0, "L4 route %s: a backend with what is only for requests", r.ID)
		v.respond(r.ID, b.Respond)
	}
}

// placeL4Route checks an L4 route against the rest of the Snapshot: its listener, the L4
// routes beside it, and its services.
func (v *validator) placeL4Route(r *L4Route) {
	protocol, known := v.protocols[r.Listener]
	at := hostPlace{r.Name, r.Listener}
	v.check(known, "L4 route %s: no listener %s", r.ID, r.Listener)
	v.check(!v.l4Routes[at], "L4 route %s: another stands at %s for %q", r.ID, r.Listener, r.Name)
	v.l4Routes[at] = true
	v.check(!known || protocol != HTTP, "L4 route %s: listener %s speaks HTTP alone", r.ID, r.Listener)
	v.check(!known || protocol.named() == (r.Name != ""), "L4 route %s: a server name goes with TLS, and with nothing else", r.ID)
	v.check(!r.Terminate || r.Name != "", "L4 route %s: there is no TLS to take off", r.ID)
	for _, b := range r.Backends {
		v.check(b.Service.IsZero() || v.services[b.Service], "L4 route %s: no service %s", r.ID, b.Service)
		v.check(!v.spoken[b.Service], "L4 route %s: service %s is spoken to in HTTP", r.ID, b.Service)
		v.check(!v.secured[b.Service] || !r.Listener.UDP, "L4 route %s: service %s takes TLS, which does not go over UDP", r.ID, b.Service)
		v.check(!v.proxied[b.Service] || !r.Listener.UDP, "L4 route %s: service %s takes PROXY headers, which are not sent over UDP", r.ID, b.Service)
	}
}

func (w *textWriter) l4Route(r *L4Route) {
	w.line(append([]string{
		"l4-route", r.ID, r.Listener.String(), option("name", r.Name), flag(r.Terminate, "terminate"),
	}, r.doesWords()...)...)
	w.l4RouteBackends(r)
}

// Does returns what an L4 route does with a connection, in the words of the text form and
// on one line.
func (r *L4Route) Does() string {
	w := &textWriter{}
	w.line(append([]string{flag(r.Terminate, "terminate")}, r.doesWords()...)...)
	w.l4RouteBackends(r)
	return strings.ReplaceAll(strings.TrimSuffix(w.b.String(), "\n"), "\n", "; ")
}

func (w *textWriter) l4RouteBackends(r *L4Route) {
	if f := (Forward{Backends: r.Backends}); r.Respond == nil && !f.plain() {
		for i := range r.Backends {
			w.backend(&r.Backends[i])
		}
	}
}

func (r *L4Route) doesWords() []string {
	var words []string
	if r.Respond == nil {
		words = forwardWords(&Forward{Backends: r.Backends, ConnectTimeout: r.ConnectTimeout})
	}
	words = append(words, respondWords(r.Respond)...)
	return append(append(words, option("idle", duration(r.IdleTimeout))), r.Access.words()...)
}

// l4Route reads an L4 route. The lines of its backends follow it.
func (p *textParser) l4Route(w []string) error {
	id, err := listenerOf(w[1])
	if err != nil {
		return err
	}
	r, options := L4Route{ID: w[0], Listener: id}, Rule{}
	for _, word := range w[2:] {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "name":
			r.Name = value
		case "terminate":
			r.Terminate = true
		case "idle":
			r.IdleTimeout, err = time.ParseDuration(value)
		case "deny", "allow":
			err = accessOption(key, &r.Access, value)
		case "forward", "connect", "respond", "why": // the same words as in a rule
			err = ruleOption(&options, word)
		default:
			err = fmt.Errorf("unknown option %q of an L4 route", key)
		}
		if err != nil {
			return err
		}
	}
	if f := options.Forward; f != nil {
		r.Backends, r.ConnectTimeout = f.Backends, f.ConnectTimeout
	}
	r.Respond = options.Respond
	p.parts.Config.L4Routes = append(p.parts.Config.L4Routes, r)
	p.below = &p.parts.Config.L4Routes[len(p.parts.Config.L4Routes)-1]
	return nil
}
