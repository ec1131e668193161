package policy

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"windrose.dev/windrose/internal/identity"
	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy/wire/proxyproto"
	"windrose.dev/windrose/internal/reason"
)

// TestInbound: what an Inbound says after each step of learning facts.
func TestInbound(t *testing.T) {
	at := netip.MustParseAddrPort
	balancer, local, client, front := at("10.0.0.9:4000"), at("10.0.0.1:8443"), at("198.51.100.7:5000"), at("203.0.113.1:443")
	listener := model.ListenerID{Port: 443}
	trusts := func(addr netip.Addr) bool { return netip.MustParsePrefix("10.0.0.0/24").Contains(addr) }
	known := Inbound{Listener: listener, Remote: balancer, Addr: balancer, Dialled: local, PublicPort: 443, Trusted: true}
	with := func(change func(*Inbound)) Inbound { in := known; change(&in); return in }
	peer := &identity.Peer{Hash: "1"}
	for name, s := range map[string]struct {
		learn func(*Facts)
		want  Inbound
	}{
		"addresses alone": {func(*Facts) {}, known},
		"redirected here": {
			func(f *Facts) { f.Original = front },
			with(func(in *Inbound) { in.Dialled = front }),
		},
		"a PROXY header": {
			func(f *Facts) { f.Header = &proxyproto.Header{Source: client, Destination: front} },
			with(func(in *Inbound) { in.Addr, in.Dialled, in.Trusted, in.TLSOffloaded = client, front, false, true }),
		},
		"a PROXY header of a client that is trusted": {
			func(f *Facts) {
				f.Header = &proxyproto.Header{Source: at("10.0.0.7:1"), Destination: at("10.0.0.8:80")}
			},
			with(func(in *Inbound) { in.Addr, in.Dialled, in.PublicPort = at("10.0.0.7:1"), at("10.0.0.8:80"), 80 }),
		},
		"a PROXY header that says that there was no TLS": {
			func(f *Facts) {
				f.Header = &proxyproto.Header{Source: client, Destination: front, TLS: &proxyproto.TLS{}}
			},
			with(func(in *Inbound) { in.Addr, in.Dialled, in.Trusted = client, front, false }),
		},
		"a balancer on its own behalf": {
			func(f *Facts) { f.Header = &proxyproto.Header{Local: true} }, known,
		},
		"a balancer that does not say whose connection it is": {
			func(f *Facts) { f.Header = &proxyproto.Header{} },
			with(func(in *Inbound) { in.Trusted = false }),
		},
		"a ClientHello": {
			func(f *Facts) { f.Hello = "Shop.Example.COM." },
			with(func(in *Inbound) { in.ServerName = "shop.example.com" }),
		},
		"a handshake": {
			func(f *Facts) {
				f.Hello, f.Handshake = "other.example", &Handshake{ServerName: "Shop.example", Peer: peer, Asked: "ca"}
			},
			with(func(in *Inbound) { in.TLS, in.ServerName, in.Identity, in.Asked = true, "shop.example", peer, "ca" }),
		},
	} {
		f := Facts{Listener: listener, PublicPort: 443, Remote: balancer, Local: local}
		s.learn(&f)
		if diff := cmp.Diff(s.want, f.Inbound(trusts), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
}

// TestAccess: deny permissions come first; if there are allow permissions, one must
// hold.
func TestAccess(t *testing.T) {
	from := func(prefix string) *model.Predicate { return &model.Predicate{Test: model.SourceIn, Value: prefix} }
	inside, bad, nobody := model.Permission{ID: "inside", When: from("10.0.0.0/8")}, model.Permission{ID: "bad", When: from("10.6.6.0/24")}, model.Permission{ID: "nobody", When: &model.Predicate{Test: model.Any}}
	for name, s := range map[string]struct {
		access *model.Access
		client string
		policy string // the id of the denying permission; empty if allowed
	}{
		"nothing is said":         {nil, "192.0.2.1", ""},
		"an empty one":            {&model.Access{}, "192.0.2.1", ""},
		"allowed":                 {&model.Access{Allow: []model.Permission{nobody, inside}}, "10.1.2.3", ""},
		"not allowed":             {&model.Access{Allow: []model.Permission{inside}}, "192.0.2.1", "inside"},
		"denied":                  {&model.Access{Deny: []model.Permission{bad}}, "10.6.6.1", "bad"},
		"denied, though allowed":  {&model.Access{Deny: []model.Permission{bad}, Allow: []model.Permission{inside}}, "10.6.6.1", "bad"},
		"nobody is allowed":       {&model.Access{Allow: []model.Permission{nobody}}, "10.1.2.3", "nobody"},
		"everybody is denied":     {&model.Access{Deny: []model.Permission{{ID: "all"}}}, "10.1.2.3", "all"},
		"IPv4 in IPv6":            {&model.Access{Allow: []model.Permission{inside}}, "::ffff:10.1.2.3", ""},
		"a zone is not an escape": {&model.Access{Deny: []model.Permission{{ID: "link", When: from("fe80::/10")}}}, "fe80::1%eth0", "link"},
	} {
		access, unknown, err := NewAccess(s.access)
		if err != nil || len(unknown) > 0 {
			t.Fatal(err, unknown)
		}
		v := access.Opens(&Inbound{Addr: netip.AddrPortFrom(netip.MustParseAddr(s.client), 1)})
		if v.Allowed() != (s.policy == "") || !v.Allowed() && v.Policy != s.policy || v.Allowed() && v.Policy == "" && s.access != nil && s.access.Allow != nil {
			t.Errorf("%s: %+v", name, v)
		}
	}
}

// TestAccessCloses: a test that cannot be evaluated denies whatever it might deny, and
// allows nothing.
func TestAccessCloses(t *testing.T) {
	claim := &model.Predicate{Test: model.ClaimIs, Name: "sub", Value: "me"}
	not := &model.Predicate{Test: model.Not, Of: []model.Predicate{*claim}}
	for name, a := range map[string]*model.Access{
		"deny":      {Deny: []model.Permission{{ID: "x", When: claim}}},
		"deny not":  {Deny: []model.Permission{{ID: "x", When: not}}},
		"allow":     {Allow: []model.Permission{{ID: "x", When: claim}}},
		"allow not": {Allow: []model.Permission{{ID: "x", When: not}}},
	} {
		access, unknown, err := NewAccess(a)
		if err != nil || len(unknown) != 1 || unknown[0] != "x" {
			t.Fatal(err, unknown)
		}
		if v := access.Asks(&Request{From: &Inbound{}}); v.Outcome != reason.Denied {
			t.Errorf("%s: %+v", name, v)
		}
	}
}

// TestAdmit: a client must reconnect if the listener now asks for something else than
// its handshake did.
func TestAdmit(t *testing.T) {
	plain, secure, shown := Inbound{}, Inbound{TLS: true}, Inbound{TLS: true, Asked: "ca 1"}
	for name, s := range map[string]struct {
		now    *Listener
		stays  []*Inbound
		leaves []*Inbound
	}{
		"no listener":         {nil, []*Inbound{&plain, &secure}, []*Inbound{&shown}},
		"plain text":          {&Listener{}, []*Inbound{&plain, &secure}, []*Inbound{&shown}},
		"TLS":                 {&Listener{TLS: true}, []*Inbound{&secure}, []*Inbound{&plain, &shown}},
		"client certificates": {&Listener{TLS: true, Asked: "ca 1"}, []*Inbound{&shown}, []*Inbound{&plain, &secure}},
		"other authorities":   {&Listener{TLS: true, Asked: "ca 2"}, nil, []*Inbound{&plain, &secure, &shown}},
		"nobody may come in":  {&Listener{Access: &Access{deny: []permission{{id: "x"}}}}, nil, []*Inbound{&plain, &secure}},
	} {
		for _, in := range s.stays {
			if v := s.now.Admit(in); !v.Allowed() {
				t.Errorf("%s: %+v has to leave: %+v", name, in, v)
			}
		}
		for _, in := range s.leaves {
			if s.now.Admit(in).Allowed() {
				t.Errorf("%s: %+v stays", name, in)
			}
		}
	}
}
