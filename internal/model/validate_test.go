package model

import (
	"strings"
	"testing"

	"windrose.dev/windrose/internal/reason"
)

// TestValidateRules: each change of a valid rule makes it one that no proxy may
// compile, and the error says why.
func TestValidateRules(t *testing.T) {
	valid := sample()
	if err := Validate(&valid); err != nil {
		t.Fatal(err)
	}
	cors := func(change func(*CORS)) func(*Rule) {
		return func(r *Rule) {
			r.CORS = &CORS{AllowOrigins: []string{"*"}}
			change(r.CORS)
		}
	}
	for _, test := range []struct {
		want   string
		change func(*Rule)
	}{
		{"", func(r *Rule) { r.Respond = &Respond{503, reason.InternalError, ""} }},
		{"unknown outcome", func(r *Rule) { r.Respond = &Respond{503, reason.Outcome(len(reason.Outcomes())), ""} }},
		{"unknown outcome", func(r *Rule) { r.Respond = &Respond{503, 255, ""} }},
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
		rule := Rule{ID: "changed", Path: PathMatch{PrefixPath, "/a"}, Respond: &Respond{503, reason.Closed, ""}}
		test.change(&rule)
		parts.Config.Hosts[1].Blocks[0].Rules = append(parts.Config.Hosts[1].Blocks[0].Rules, rule)
		err := Validate(&parts)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("want %q, got %v", test.want, err)
		}
	}
}

// TestValidateRelays: each change of a valid relay, or of what it stands on,
// makes it one that no proxy may serve, and the error says why.
func TestValidateRelays(t *testing.T) {
	for _, test := range []struct {
		want   string
		change func(*Parts, *Relay)
	}{
		{"", func(*Parts, *Relay) {}},
		{"without a name", func(_ *Parts, r *Relay) { r.ID = "" }},
		{"no listener 1", func(_ *Parts, r *Relay) { r.Listener = ListenerID{Port: 1} }},
		{"no listener 443/udp", func(_ *Parts, r *Relay) { r.Listener.UDP = true }},
		{"speaks HTTP alone", func(_ *Parts, r *Relay) { r.Listener = ListenerID{Port: 80} }},
		{"a server name goes with TLS", func(_ *Parts, r *Relay) { r.Name = "" }},
		{"a server name goes with TLS", func(p *Parts, r *Relay) { p.Config.Relays, r.Listener = nil, ListenerID{Port: 53} }},
		{"not lower-case", func(_ *Parts, r *Relay) { r.Name = "A.example.com" }},
		{"control characters", func(_ *Parts, r *Relay) { r.Name = "a\n" }},
		{"no TLS to take off", func(p *Parts, r *Relay) {
			p.Config.Relays = nil
			r.Listener, r.Name, r.Terminate = ListenerID{Port: 53}, "", true
		}},
		{"another stands at 443", func(p *Parts, r *Relay) { r.Name = "raw.example.com" }},
		{"another stands at 53", func(p *Parts, r *Relay) { r.Listener, r.Name = ListenerID{Port: 53}, "" }},
		{"exactly one of backends", func(_ *Parts, r *Relay) { r.Backends = nil }},
		{"exactly one of backends", func(_ *Parts, r *Relay) { r.Respond = &Respond{503, reason.Closed, ""} }},
		{"unknown outcome", func(_ *Parts, r *Relay) { r.Backends, r.Respond = nil, &Respond{503, 255, ""} }},
		{"no service x", func(_ *Parts, r *Relay) { r.Backends[0].Service = "x" }},
		{"exactly one of service", func(_ *Parts, r *Relay) { r.Backends[0].Service = "" }},
		{"only for requests", func(_ *Parts, r *Relay) { r.Backends[0].Rewrite = &Rewrite{Host: "a"} }},
		{"negative timeout", func(_ *Parts, r *Relay) { r.IdleTimeout = -1 }},
		{"its name says another protocol", func(p *Parts, _ *Relay) { p.Config.Listeners[0].Protocol = UDP }},
		{"does not speak HTTP", func(p *Parts, _ *Relay) {
			p.Config.Hosts[0].Listeners = append(p.Config.Hosts[0].Listeners, ListenerID{Port: 53})
		}},
	} {
		parts := sample()
		relay := Relay{ID: "changed", Listener: ListenerID{Port: 443}, Name: "a.example.com", Backends: []Backend{{Service: "shop/cart:80", Weight: 1}}}
		test.change(&parts, &relay)
		parts.Config.Relays = append(parts.Config.Relays, relay)
		err := Validate(&parts)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("want %q, got %v", test.want, err)
		}
	}
}
