package model

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"testing"
)

// decoded returns the Snapshot as a proxy decodes it.
func decoded(t testing.TB, parts Parts) *Snapshot {
	t.Helper()
	data, err := Encode(Freeze(parts))
	if err != nil {
		t.Fatal(err)
	}
	s, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestChange: a change, from and to each of the Snapshots, gives the same result as the
// whole form, and a change is refused where the whole form would be.
func TestChange(t *testing.T) {
	made := map[string]Parts{}
	for name, change := range changes {
		parts := sample()
		change(&parts)
		made[name] = parts
	}
	for from := range made {
		if whole, err := Encode(Freeze(made[from])); err != nil {
			t.Fatal(err)
		} else if _, err = Decode(whole); err != nil {
			continue // no proxy has it
		}
		for to := range made {
			t.Run(from+" to "+to, func(t *testing.T) { changeFromTo(t, made[from], made[to]) })
		}
	}
}

func changeFromTo(t *testing.T, from, to Parts) {
	want := Freeze(to)
	whole, err := Encode(want)
	if err != nil {
		t.Fatal(err)
	}
	_, errWhole := Decode(whole)
	data, err := EncodeOver(want, Freeze(from))
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeOver(data, decoded(t, from))
	if (err == nil) != (errWhole == nil) {
		t.Fatalf("whole: %v, as a change: %v", errWhole, err)
	}
	if err == nil && (got.Root != want.Root || Format(got)+FormatOrigins(got) != Format(want)+FormatOrigins(want)) {
		t.Errorf("it led to\n%s", Format(got)+FormatOrigins(got))
	}
}

// TestChangeRefuses: a change that does not apply to the Snapshot it names is refused.
func TestChangeRefuses(t *testing.T) {
	base := decoded(t, sample())
	after := sample()
	changes["an endpoint"](&after)
	good := func() envelope {
		e, err := Freeze(after).envelope(Freeze(sample()))
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	for name, s := range map[string]struct {
		change func(*envelope)
		want   error
	}{
		"":                        {func(*envelope) {}, nil},
		"another base":            {func(e *envelope) { e.Since.Base[0]++ }, ErrBase},
		"another root":            {func(e *envelope) { e.Since.Root[0]++ }, ErrWire},
		"a place that is not":     {func(e *envelope) { e.Since.Hosts = []uint32{99} }, ErrWire},
		"places out of order":     {func(e *envelope) { e.Since.Hosts = []uint32{1, 0} }, ErrWire},
		"a place twice":           {func(e *envelope) { e.Since.Hosts = []uint32{1, 1} }, ErrWire},
		"endpoints twice":         {func(e *envelope) { e.Endpoints = append(e.Endpoints, e.Endpoints[0]) }, ErrWire},
		"what was there stays":    {func(e *envelope) { e.Since.Endpoints = nil }, ErrWire},
		"a service that is named": {func(e *envelope) { e.Since.Services = []uint32{0} }, ErrWire},
		"newer schema":            {func(e *envelope) { e.Schema++ }, ErrWire},
		"endpoints that are none": {func(e *envelope) { e.Endpoints[0] = encode(7) }, ErrWire},
	} {
		e := good()
		s.change(&e)
		if _, err := DecodeOver(slices.Concat(wireMagic, encode(e)), base); !errors.Is(err, s.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	e := good()
	if _, err := Decode(slices.Concat(wireMagic, encode(e))); !errors.Is(err, ErrBase) {
		t.Errorf("a change without what it changes: %v", err)
	}
}

// many returns a Snapshot with n services, their endpoints, and a host for each.
func many(n int) Parts {
	p := Parts{Config: Config{Listeners: []Listener{{ID: ListenerID{Port: 80}}}}}
	for i := range n {
		id := fmt.Sprintf("shop/s%05d:80", i)
		service := ParseServiceID(id)
		p.Config.Services = append(p.Config.Services, Service{ID: service})
		p.Config.Hosts = append(p.Config.Hosts, Host{
			Name: fmt.Sprintf("h%05d.example", i), Listeners: []ListenerID{{Port: 80}},
			Blocks: []Block{{Dialect: "ingress", Rules: []Rule{{ID: id, Forward: &Forward{Backends: []Backend{{Service: service, Weight: 1}}}}}}},
		})
		for k := range 4 {
			addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), byte(k)}), 80)
			p.Endpoints = append(p.Endpoints[:i], Endpoints{Service: service, Endpoints: append(endpointsAt(p.Endpoints, i), Endpoint{Addr: addr})})
		}
	}
	return p
}

func endpointsAt(all []Endpoints, i int) []Endpoint {
	if i < len(all) {
		return all[i].Endpoints
	}
	return nil
}

// TestChangeIsSmall: the size of a change of one Service's endpoints does not grow with
// the number of Services.
func TestChangeIsSmall(t *testing.T) {
	size := func(n int) int {
		was, after := many(n), many(n)
		after.Endpoints[n/2].Endpoints = after.Endpoints[n/2].Endpoints[:2]
		data, err := EncodeOver(Freeze(after), Freeze(was))
		if err != nil {
			t.Fatal(err)
		}
		return len(data)
	}
	if few, more := size(20), size(200); more > few+4 {
		t.Errorf("%d bytes, and %d with ten times the services", few, more)
	}
}

// manySecrets are many, with a secret for each host, of which that of shift has other
// material.
func manySecrets(n, shift int) Parts {
	p := many(n)
	p.Config.Listeners = append(p.Config.Listeners, Listener{ID: ListenerID{Port: 443}, Protocol: HTTPS})
	l := &p.Config.Listeners[1]
	for i, h := range p.Config.Hosts {
		s := Secret{Name: fmt.Sprintf("shop/t%05d", i), Chain: fmt.Appendf(nil, "chain %d", i), Key: []byte("key")}
		if i == shift {
			s.Chain = []byte("another")
		}
		p.Secrets = append(p.Secrets, s)
		l.Certificates = append(l.Certificates, Certificate{Host: h.Name, Secret: s.Name})
	}
	return p
}

// TestChangeHasOneSecret: what goes over the wire for one Secret is that alone, and what
// is decoded from it shares all else.
func TestChangeHasOneSecret(t *testing.T) {
	was, base := Freeze(manySecrets(200, -1)), decoded(t, manySecrets(200, -1))
	changed := manySecrets(200, 100).Secrets[100]
	next := Compose(was.FrozenConfig(), was.FrozenEndpoints(), was.FrozenSecrets().With([]Secret{changed}))
	e, err := next.envelope(was)
	if err != nil {
		t.Fatal(err)
	}
	if rest := len(e.Listeners) + len(e.Hosts) + len(e.Services) + len(e.L4Routes) + len(e.Endpoints) + len(e.Bundles) + len(e.Origins); len(e.Secrets) != 1 || rest > 0 {
		t.Errorf("it has %d secrets, and %d other values", len(e.Secrets), rest)
	}
	data, err := EncodeOver(next, was)
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeOver(data, base)
	if err != nil {
		t.Fatal(err)
	}
	if got.Root != Freeze(manySecrets(200, 100)).Root || !reflect.DeepEqual(got.Secrets, next.Secrets) {
		t.Error("it led to other secrets")
	}
	if &got.Config.Hosts[0] != &base.Config.Hosts[0] || &got.Endpoints[0] != &base.Endpoints[0] {
		t.Error("hosts or endpoints were made anew")
	}
}

// BenchmarkChangeSecret is one Secret of 5,000, over the wire.
func BenchmarkChangeSecret(b *testing.B) {
	was, base := Freeze(manySecrets(5000, -1)), decoded(b, manySecrets(5000, -1))
	changed := manySecrets(5000, 2500).Secrets[2500]
	next := Compose(was.FrozenConfig(), was.FrozenEndpoints(), was.FrozenSecrets().With([]Secret{changed}))
	for b.Loop() {
		data, err := EncodeOver(next, was)
		if err != nil {
			b.Fatal(err)
		}
		if _, err = DecodeOver(data, base); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkChangeEndpoints is one Service's endpoints of 5,000, over the wire.
func BenchmarkChangeEndpoints(b *testing.B) {
	was, after := Freeze(many(5000)), many(5000)
	changed := after.Endpoints[2500]
	changed.Endpoints = changed.Endpoints[:2]
	base, next := decoded(b, many(5000)), Compose(was.FrozenConfig(), was.FrozenEndpoints().With([]Endpoints{changed}), was.FrozenSecrets())
	b.ReportAllocs()
	for b.Loop() {
		data, err := EncodeOver(next, was)
		if err != nil {
			b.Fatal(err)
		}
		if _, err = DecodeOver(data, base); err != nil {
			b.Fatal(err)
		}
	}
}

// FuzzChange: whatever bytes come as a change, an accepted one is valid, sorted, and has
// the root hash that it announces.
func FuzzChange(f *testing.F) {
	base := decoded(f, sample())
	for _, change := range changes {
		parts := sample()
		change(&parts)
		data, err := EncodeOver(Freeze(parts), Freeze(sample()))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	want := Format(base)
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := DecodeOver(data, base)
		if Format(base) != want {
			t.Fatal("the base changed")
		}
		if err != nil {
			return
		}
		if err := Validate(&s.Parts); err != nil {
			t.Fatalf("what cannot be compiled: %v", err)
		}
		if !eachInConfig(&s.Config, checkList) || !eachInEndpoints(s.Endpoints, checkList) {
			t.Fatal("not in order")
		}
		if again, err := EncodeOver(s, base); err == nil {
			if back, err := DecodeOver(again, base); err != nil || back.Root != s.Root {
				t.Fatalf("encoded and decoded to another snapshot: %v", err)
			}
		}
	})
}
