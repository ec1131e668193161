package policy

import (
	"strings"

	"windrose.dev/windrose/internal/identity"
	"windrose.dev/windrose/internal/model"
)

// Failing finds the smallest part of a condition that explains why it does not hold for
// a request, or nil if it does. It compiles anew: nobody is in a hurry.
func Failing(p *model.Predicate, r *Request) *model.Predicate {
	compiled, err := Compile(p)
	switch {
	case p == nil || err == nil && compiled.Holds(r):
		return nil
	case err != nil || p.Test != model.All:
		return p
	}
	for i := range p.Of {
		if failed := Failing(&p.Of[i], r); failed != nil {
			return failed
		}
	}
	return p
}

// Got tells what a condition looks at first, and what the request has there.
func Got(p *model.Predicate, r *Request) (test model.Test, got string) {
	for p.Test <= model.Not && len(p.Of) > 0 {
		p = &p.Of[0]
	}
	return p.Test, valueAt(p, r)
}

// valueAt is what a request has where a test looks.
func valueAt(p *model.Predicate, r *Request) string {
	var value []byte
	switch p.Test {
	case model.MethodIs:
		value = r.Method
	case model.QueryIs:
		raw, _ := r.query(p.Name)
		value = appendDecoded(nil, raw)
	case model.CookieIs:
		value, _ = r.cookie(p.Name)
	case model.HeaderIs:
		value, _ = r.header(fieldOf(p.Name), p.Name)
	case model.SchemeIs:
		return map[bool]string{true: "https", false: "http"}[r.HTTPS]
	case model.ClientIn:
		if addr := r.client(); addr.IsValid() {
			return addr.String()
		}
	default:
		if r.From != nil {
			return r.From.got(p)
		}
	}
	return string(value)
}

// got is what a connection has where a test looks.
func (in *Inbound) got(p *model.Predicate) string {
	switch p.Test {
	case model.SourceIn:
		return in.Addr.Addr().Unmap().String()
	case model.PortIs:
		return model.ListenerID{Port: in.Listener.Port}.String()
	case model.GatewayIs:
		return in.Listener.Gateway
	case model.ServerNameIs:
		return in.ServerName
	case model.PeerIs:
		return peerAttributes(in.Identity, p.Name)
	}
	return ""
}

func peerAttributes(peer *identity.Peer, name string) string {
	switch {
	case peer == nil:
		return ""
	case name == "uri":
		return strings.Join(peer.URIs, ", ")
	case name == "dns":
		return strings.Join(peer.DNSNames, ", ")
	}
	return peerAttribute(peer, name)
}
