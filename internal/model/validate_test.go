package model

import (
	"strings"
	"testing"

	"windrose.dev/windrose/internal/reason"
)

// TestValidateRules: each change to a valid rule makes it invalid, and the error says
// why.
func TestValidateRules(t *testing.T) {
	valid := sample()
	if err := Validate(&valid); err != nil {
		t.Fatal(err)
	}
	cors := func(change func(*CORS)) func(*Rule) {
		return func(r *Rule) {
			c := &CORS{AllowOrigins: []string{"*"}}
			change(c)
			r.Filters = Filters{c}
		}
	}
	for _, test := range []struct {
		want   string
		change func(*Rule)
	}{
		{"", func(r *Rule) { r.Respond = &Respond{Status: 503, Outcome: reason.InternalError, Why: ""} }},
		{"", func(r *Rule) {
			r.Respond = &Respond{Status: 200, Headers: []Header{{"Content-Type", "text/html"}}, Body: "<p>"}
		}},
		{"cannot set Content-Length", func(r *Rule) { r.Respond = &Respond{Status: 200, Headers: []Header{{"Content-Length", "5"}}} }},
		{"is none", func(r *Rule) { r.Respond = &Respond{Status: 200, Headers: []Header{{"X-A", "a\r\nb"}}} }},
		{"of more than 65536 bytes", func(r *Rule) { r.Respond = &Respond{Status: 200, Body: strings.Repeat("x", 65537)} }},
		{"with a body and status 204", func(r *Rule) { r.Respond = &Respond{Status: 204, Body: "x"} }},
		{"unknown outcome", func(r *Rule) {
			r.Respond = &Respond{Status: 503, Outcome: reason.Outcome(len(reason.Outcomes())), Why: ""}
		}},
		{"unknown outcome", func(r *Rule) { r.Respond = &Respond{Status: 503, Outcome: 255, Why: ""} }},
		{"", cors(func(c *CORS) { c.AllowMethods, c.AllowHeaders, c.ExposeHeaders = "GET", "X-A", "X-B" })},
		{"control characters", cors(func(c *CORS) { c.AllowMethods = "GET\r\nX-A: b" })},
		{"control characters", cors(func(c *CORS) { c.AllowHeaders = "X-A\x00" })},
		{"control characters", cors(func(c *CORS) { c.ExposeHeaders = "X-A\n" })},
		{"control characters", cors(func(c *CORS) { c.AllowOrigins = []string{"https://a.example.com\r"} })},
		{"a comma in an origin", cors(func(c *CORS) { c.AllowOrigins = []string{"https://a.example.com,b"} })},
		{"", func(r *Rule) { r.Path = PathMatch{PrefixPath, "/"} }},
		{"", func(r *Rule) { r.Path = PathMatch{PrefixPath, "/a"} }},
		{"", func(r *Rule) { r.Path = PathMatch{ExactPath, "/a/"} }},
		{"ends with a slash", func(r *Rule) { r.Path = PathMatch{PrefixPath, "/a/"} }},
		{"ends with a slash", func(r *Rule) { r.Path = PathMatch{PrefixPath, "//"} }},
	} {
		parts := sample()
		rule := Rule{ID: "changed", Path: PathMatch{PrefixPath, "/a"}, Respond: &Respond{Status: 503, Outcome: reason.Closed, Why: ""}}
		test.change(&rule)
		parts.Config.Hosts[1].Blocks[0].Rules = append(parts.Config.Hosts[1].Blocks[0].Rules, rule)
		err := Validate(&parts)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("want %q, got %v", test.want, err)
		}
	}
}

// TestValidateL4Routes: each change to a valid L4 route, or to what it refers to, makes
// it invalid, and the error says why.
func TestValidateL4Routes(t *testing.T) {
	for _, test := range []struct {
		want   string
		change func(*Parts, *L4Route)
	}{
		{"", func(*Parts, *L4Route) {}},
		{"without a name", func(_ *Parts, r *L4Route) { r.ID = "" }},
		{"no listener 1", func(_ *Parts, r *L4Route) { r.Listener = ListenerID{Port: 1} }},
		{"no listener 443/udp", func(_ *Parts, r *L4Route) { r.Listener.UDP = true }},
		{"speaks HTTP alone", func(_ *Parts, r *L4Route) { r.Listener = ListenerID{Port: 80} }},
		{"a server name goes with TLS", func(_ *Parts, r *L4Route) { r.Name = "" }},
		{"a server name goes with TLS", func(p *Parts, r *L4Route) { p.Config.L4Routes, r.Listener = nil, ListenerID{Port: 53} }},
		{"not lower-case", func(_ *Parts, r *L4Route) { r.Name = "A.example.com" }},
		{"control characters", func(_ *Parts, r *L4Route) { r.Name = "a\n" }},
		{"no TLS to take off", func(p *Parts, r *L4Route) {
			p.Config.L4Routes = nil
			r.Listener, r.Name, r.Terminate = ListenerID{Port: 53}, "", true
		}},
		{"another stands at 443", func(p *Parts, r *L4Route) { r.Name = "raw.example.com" }},
		{"another stands at 53", func(p *Parts, r *L4Route) { r.Listener, r.Name = ListenerID{Port: 53}, "" }},
		{"exactly one of backends", func(_ *Parts, r *L4Route) { r.Backends = nil }},
		{"exactly one of backends", func(_ *Parts, r *L4Route) { r.Respond = &Respond{Status: 503, Outcome: reason.Closed, Why: ""} }},
		{"unknown outcome", func(_ *Parts, r *L4Route) { r.Backends, r.Respond = nil, &Respond{Status: 503, Outcome: 255, Why: ""} }},
		{"no service x", func(_ *Parts, r *L4Route) { r.Backends[0].Service = ParseServiceID("x") }},
		{"spoken to in HTTP", func(_ *Parts, r *L4Route) { r.Backends[0].Service = ParseServiceID("shop/cart:80~http2") }},
		{"spoken to in HTTP", func(_ *Parts, r *L4Route) { r.Backends[0].Service = ParseServiceID("shop/pay:443~any") }},
		{"exactly one of service", func(_ *Parts, r *L4Route) { r.Backends[0].Service = ParseServiceID("") }},
		{"only for requests", func(_ *Parts, r *L4Route) { r.Backends[0].Filters = Filters{&Rewrite{Host: "a"}} }},
		{"negative timeout", func(_ *Parts, r *L4Route) { r.IdleTimeout = -1 }},
		{"its name says another protocol", func(p *Parts, _ *L4Route) { p.Config.Listeners[0].Protocol = UDP }},
		{"does not speak HTTP", func(p *Parts, _ *L4Route) {
			p.Config.Hosts[0].Listeners = append(p.Config.Hosts[0].Listeners, ListenerID{Port: 53})
		}},
	} {
		parts := sample()
		l4Route := L4Route{ID: "changed", Listener: ListenerID{Port: 443}, Name: "a.example.com", Backends: []Backend{{Service: ParseServiceID("shop/cart:80"), Weight: 1}}}
		test.change(&parts, &l4Route)
		parts.Config.L4Routes = append(parts.Config.L4Routes, l4Route)
		err := Validate(&parts)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("want %q, got %v", test.want, err)
		}
	}
}

// TestValidateTrust: incomplete TLS settings are invalid.
func TestValidateTrust(t *testing.T) {
	verified := func(change func(*UpstreamTLS)) func(*Parts) {
		return func(p *Parts) {
			tls := &UpstreamTLS{Names: []string{"a.example.com"}, Bundles: []string{"configmap/shop/ca"}}
			change(tls)
			p.Config.Services = append(p.Config.Services, Service{ID: ParseServiceID("shop/new:443"), TLS: tls})
		}
	}
	listener := func(change func(*Listener)) func(*Parts) {
		return func(p *Parts) {
			l := Listener{ID: ListenerID{Port: 9443}, Protocol: HTTPS, ClientAuth: &ClientAuth{Bundles: []string{"configmap/shop/ca"}}}
			change(&l)
			p.Config.Listeners = append(p.Config.Listeners, l)
		}
	}
	for _, test := range []struct {
		want   string
		change func(*Parts)
	}{
		{"", verified(func(*UpstreamTLS) {})},
		{"", verified(func(s *UpstreamTLS) { s.Bundles, s.SystemRoots = nil, true })},
		{"without a name", verified(func(s *UpstreamTLS) { s.Names = nil })},
		{"without an authority", verified(func(s *UpstreamTLS) { s.Bundles = nil })},
		{"no bundle secret/none", verified(func(s *UpstreamTLS) { s.Bundles = []string{"secret/none"} })},
		{"no secret none", verified(func(s *UpstreamTLS) { s.Certificate = "none" })},
		{"not to be verified", verified(func(s *UpstreamTLS) { s.Unverified = true })},
		{"", verified(func(s *UpstreamTLS) { *s = UpstreamTLS{Unverified: true, ServerName: "a"} })},
		{"a chain of 1", verified(func(s *UpstreamTLS) { s.MaxChain = 1 })},
		{"is no name", verified(func(s *UpstreamTLS) { s.URIs = []string{"spiffe://a b"} })},
		{"an empty name", verified(func(s *UpstreamTLS) { s.Names = []string{""} })},
		{"over TLS only", func(p *Parts) { p.Config.Services[0].Protocol = Negotiated }},
		{"unknown protocol", func(p *Parts) { p.Config.Services[0].Protocol = Opaque + 1 }},
		{"unknown version 3", func(p *Parts) { p.Config.Services[0].ProxyProtocol = ProxyV2 + 1 }},
		{"not sent over UDP", func(p *Parts) {
			p.Config.Services = append(p.Config.Services, Service{ID: ParseServiceID("shop/new:53"), ProxyProtocol: ProxyV2})
			p.Config.L4Routes[0].Backends = []Backend{{Service: ParseServiceID("shop/new:53"), Weight: 1}}
		}},
		{"is no name and port", func(p *Parts) { p.Endpoints[0].Names = []NamedEndpoint{{"A.example.com", 1}} }},
		{"unknown protocols 0x80", func(p *Parts) { p.Endpoints[1].Endpoints[0].Protocols = 0x80 }},
		{"is above", func(p *Parts) { p.Endpoints[1].Endpoints[0].Weight = MaxEndpointWeight + 1 }},
		{"is not region/zone/sub-zone", func(p *Parts) { p.Endpoints[1].Endpoints[0].Locality = "a/b/c/d" }},
		{"control characters", func(p *Parts) { p.Endpoints[1].Endpoints[0].Locality = "a\nb" }},
		{"is no SPIFFE ID", func(p *Parts) { p.Endpoints[1].Endpoints[0].Identity = "https://x/ns/a/sa/b" }},
		{"is no key of a label", func(p *Parts) { p.Endpoints[1].Endpoints[0].Labels = []Label{{"a=b", "c"}} }},
		{"stands twice", func(p *Parts) { p.Endpoints[1].Endpoints[0].Labels = []Label{{"a", "c"}, {"a", "d"}} }},
		{"is no name and port", func(p *Parts) { p.Endpoints[0].Names = []NamedEndpoint{{"a b", 1}} }},
		{"is no name and port", func(p *Parts) { p.Endpoints[0].Names = []NamedEndpoint{{".", 1}} }},
		{"is no name and port", func(p *Parts) { p.Endpoints[0].Names = []NamedEndpoint{{"a.example.com", 0}} }},
		{"", func(p *Parts) { p.Endpoints[0].Names = []NamedEndpoint{{"_a.example.com.", 1}, {"2001:db8::1", 1}} }},
		{"", listener(func(*Listener) {})},
		{"over TLS only", listener(func(l *Listener) { l.Protocol = HTTP })},
		{"no authority", listener(func(l *Listener) { l.ClientAuth.Bundles = nil })},
		{"no bundle x", listener(func(l *Listener) { l.ClientAuth.Bundles = []string{"x"} })},
		{"unknown mode", listener(func(l *Listener) { l.ClientAuth.Mode = 9 })},
		{"no secret x", listener(func(l *Listener) { l.BackendCertificate = "x" })},
		{"stands twice", func(p *Parts) { p.Bundles = append(p.Bundles, p.Bundles[0]) }},
	} {
		parts := sample()
		test.change(&parts)
		err := Validate(&parts)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("want %q, got %v", test.want, err)
		}
	}
}

// TestBundlesAreSecrets: a changed bundle changes the hash of the secrets only.
func TestBundlesAreSecrets(t *testing.T) {
	before, p := Freeze(sample()), sample()
	p.Bundles[0].PEM = []byte("-----BEGIN CERTIFICATE-----")
	after := Freeze(p)
	if after.ConfigHash != before.ConfigHash || after.SecretsHash == before.SecretsHash || after.Root == before.Root {
		t.Error("a bundle must change the hash of the secrets and the root")
	}
	if len(after.Bundles[1].Digest) != 64 || strings.Contains(Format(after), "BEGIN") {
		t.Errorf("a bundle is its digest in the text:\n%s", Format(after))
	}
	data, err := Encode(after)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := Decode(data); err != nil || string(back.Bundles[1].PEM) != "-----BEGIN CERTIFICATE-----" || back.Root != after.Root {
		t.Errorf("the wire lost a bundle: %v", err)
	}
}
