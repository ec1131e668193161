package model

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Endpoints are the endpoints of one Service.
type Endpoints struct {
	Service   ServiceID  `cbor:"1,keyasint" json:"service"`
	Endpoints []Endpoint `cbor:"2,keyasint,omitempty" json:"endpoints,omitempty"`
	// Names are endpoints given by host name; the proxy resolves their addresses itself.
	Names []NamedEndpoint `cbor:"3,keyasint,omitempty" json:"names,omitempty"`
}

// Endpoint is one address of a Service.
type Endpoint struct {
	Addr netip.AddrPort `cbor:"1,keyasint" json:"addr"`
	// Pod is namespace/name; empty if the endpoint is not a pod.
	Pod string `cbor:"2,keyasint,omitempty" json:"pod,omitempty"`
	// Terminating endpoints still serve. They are used only if no other is left.
	Terminating bool `cbor:"3,keyasint,omitempty" json:"terminating,omitempty"`
	// Protocols are the mesh protocols that it speaks, in addition to its Service's.
	Protocols Protocols `cbor:"4,keyasint,omitempty" json:"protocols,omitempty"`
	// Weight is its share of the requests, relative to the other endpoints; 0 counts as
	// 1.
	Weight uint32 `cbor:"5,keyasint,omitempty" json:"weight,omitempty"`
	// Locality is the place where it runs.
	Locality Locality `cbor:"6,keyasint,omitempty" json:"locality,omitempty"`
	// Identity is the SPIFFE ID of its workload, as a URI; empty if it has none.
	Identity string `cbor:"7,keyasint,omitempty" json:"identity,omitempty"`
	// Labels are the labels of its workload, sorted by key.
	Labels []Label `cbor:"8,keyasint,omitempty" json:"labels,omitempty"`
}

// Protocols is a set of mesh protocols.
type Protocols uint8

const (
	// HBONE is HTTP/2 CONNECT over mutual TLS, as Istio's ambient mode speaks it.
	HBONE Protocols = 1 << iota
	// NativeHTTP2 is HTTP/2 requests over mutual TLS, as Windrose's own proxies speak it.
	NativeHTTP2
)

var protocolsNames = []string{"hbone", "native-http2"}

// Locality is region/zone/sub-zone. Unknown parts at the end are left out, and unknown
// parts at the beginning are empty: /zone-a is a zone of an unknown region.
type Locality string

// Region, Zone and SubZone return the parts; empty is unknown.
func (l Locality) Region() string  { return l.part(0) }
func (l Locality) Zone() string    { return l.part(1) }
func (l Locality) SubZone() string { return l.part(2) }

func (l Locality) part(i int) string {
	if parts := strings.SplitN(string(l), "/", 3); i < len(parts) {
		return parts[i]
	}
	return ""
}

// Label is one label of a workload.
type Label struct {
	Key   string `cbor:"1,keyasint" json:"key"`
	Value string `cbor:"2,keyasint,omitempty" json:"value,omitempty"`
}

// MaxEndpointWeight bounds the weight of an Endpoint, so that sums of weights do not
// overflow.
const MaxEndpointWeight = 1 << 24

func compareEndpoints(a, b Endpoint) int {
	return cmp.Or(a.Addr.Compare(b.Addr), cmp.Compare(a.Pod, b.Pod))
}

func compareLabels(a, b Label) int { return cmp.Compare(a.Key, b.Key) }

// MarshalText returns the names, separated by commas.
func (p Protocols) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

func (p Protocols) String() string {
	var names []string
	for i, name := range protocolsNames {
		if p&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}

func protocolsOf(text string) (p Protocols, err error) {
	for name := range strings.SplitSeq(text, ",") {
		i := slices.Index(protocolsNames, name)
		if i < 0 {
			return p, fmt.Errorf("unknown protocol %q", name)
		}
		p |= 1 << i
	}
	return p, nil
}

func (w *textWriter) endpoints(e Endpoints) {
	if len(e.Endpoints)+len(e.Names) == 0 {
		w.line("endpoint", e.Service.String(), "none")
	}
	for _, n := range e.Names {
		w.line("endpoint", e.Service.String(), namePrefix+n.String())
	}
	for i := range e.Endpoints {
		w.line(append([]string{"endpoint", e.Service.String()}, e.Endpoints[i].words()...)...)
	}
}

func (ep *Endpoint) words() []string {
	words := []string{
		ep.Addr.String(), option("pod", ep.Pod), flag(ep.Terminating, "terminating"), option("protocols", ep.Protocols.String()),
		option("weight", number(int64(ep.Weight))), option("locality", string(ep.Locality)), option("identity", ep.Identity),
	}
	for _, l := range ep.Labels {
		words = append(words, "label="+l.Key+"="+l.Value)
	}
	return words
}

// endpointOptions read the options of the text form.
var endpointOptions = map[string]func(*Endpoint, string) error{
	"pod":         func(ep *Endpoint, v string) error { ep.Pod = v; return nil },
	"terminating": func(ep *Endpoint, _ string) error { ep.Terminating = true; return nil },
	"protocols":   func(ep *Endpoint, v string) (err error) { ep.Protocols, err = protocolsOf(v); return err },
	"weight": func(ep *Endpoint, v string) error {
		n, err := strconv.ParseUint(v, 10, 32)
		ep.Weight = uint32(n)
		return err
	},
	"locality": func(ep *Endpoint, v string) error { ep.Locality = Locality(v); return nil },
	"identity": func(ep *Endpoint, v string) error { ep.Identity = v; return nil },
	"label": func(ep *Endpoint, v string) error {
		key, value, _ := strings.Cut(v, "=")
		ep.Labels = append(ep.Labels, Label{key, value})
		return nil
	},
}

func (p *textParser) endpoint(w []string) error {
	all, id := p.parts.Endpoints, ParseServiceID(w[0])
	if len(all) == 0 || all[len(all)-1].Service != id {
		all = append(all, Endpoints{Service: id})
		p.parts.Endpoints = all
	}
	last := &all[len(all)-1]
	if name, named := strings.CutPrefix(w[1], namePrefix); named {
		return last.addName(name, w[2:])
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
		read, known := endpointOptions[key]
		if !known {
			return fmt.Errorf("unknown option %q of an endpoint", key)
		}
		if err := read(&ep, value); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	last.Endpoints = append(last.Endpoints, ep)
	return nil
}

// validateEndpoints is Validate for endpoints alone. The configuration must be valid.
func validateEndpoints(c *Config, all []Endpoints) error {
	var v validator
	for i := range all {
		_, has := slices.BinarySearchFunc(c.Services, Service{ID: all[i].Service}, serviceKind.compare)
		v.endpoints(&all[i], has)
	}
	return errors.Join(v.errs...)
}

func (v *validator) endpoints(e *Endpoints, hasService bool) {
	v.serviceID("endpoints", e.Service)
	v.check(hasService, "endpoints of %s: no such service", e.Service)
	for i := range e.Endpoints {
		v.endpoint(e.Service, &e.Endpoints[i])
	}
	for _, n := range e.Names {
		v.check(n.Valid(), "endpoints of %s: %q is no name and port", e.Service, n)
	}
}

func (v *validator) endpoint(service ServiceID, ep *Endpoint) {
	v.check(ep.Addr.IsValid() && ep.Addr.Port() != 0, "endpoints of %s: %s is no address", service, ep.Addr)
	v.check(ep.Protocols < 1<<len(protocolsNames), "endpoints of %s: unknown protocols %#x", service, uint8(ep.Protocols))
	v.check(ep.Weight <= MaxEndpointWeight, "endpoints of %s: the weight %d is above %d", service, ep.Weight, MaxEndpointWeight)
	v.check(strings.Count(string(ep.Locality), "/") <= 2, "endpoints of %s: %q is not region/zone/sub-zone", service, ep.Locality)
	for _, text := range [...]string{ep.Pod, string(ep.Locality), ep.Identity} {
		v.check(strings.IndexFunc(text, unicode.IsControl) < 0, "endpoints of %s: %q has control characters", service, text)
	}
	v.check(ep.Identity == "" || strings.HasPrefix(ep.Identity, "spiffe://"), "endpoints of %s: %q is no SPIFFE ID", service, ep.Identity)
	for i, l := range ep.Labels {
		v.check(strings.IndexFunc(l.Key+l.Value, unicode.IsControl) < 0, "endpoints of %s: the label %q has control characters", service, l.Key)
		v.check(l.Key != "" && !strings.Contains(l.Key, "="), "endpoints of %s: %q is no key of a label", service, l.Key)
		v.check(i == 0 || ep.Labels[i-1].Key != l.Key, "endpoints of %s: the label %s stands twice", service, l.Key)
	}
}
