package policy

import (
	"strings"

	"windrose.dev/windrose/internal/identity"
	"windrose.dev/windrose/internal/model"
)

// Failing returns the smallest part of a condition that explains why it does not hold
// for a request, or nil if it holds. It compiles the condition again: speed does not
// matter here.
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

// Got returns the first test of a condition, and the value that it finds in the
// request.
func Got(p *model.Predicate, r *Request) (test model.Test, got string) {
	for p.Test <= model.Not && len(p.Of) > 0 {
		p = &p.Of[0]
	}
	return p.Test, valueAt(p, r)
}

// valueAt returns the value that a test finds in a request.
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

// got returns the value that a test finds in a connection.
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
