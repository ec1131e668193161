package model

import (
	"bytes"
	"net/netip"
	"reflect"
	"slices"
	"testing"
)

// composed returns base with one part taken from other.
func composed(base, other *Snapshot, part string) *Snapshot {
	config, endpoints, secrets := base.FrozenConfig(), base.FrozenEndpoints(), base.FrozenSecrets()
	switch part {
	case "config":
		config = other.FrozenConfig()
	case "endpoints":
		endpoints = other.FrozenEndpoints()
	case "secrets":
		secrets = other.FrozenSecrets()
	}
	return Compose(config, endpoints, secrets)
}

// TestComposeEqualsFreeze: Compose of old and new parts gives the same Snapshot as Freeze
// of the whole, in every form.
func TestComposeEqualsFreeze(t *testing.T) {
	for part, change := range map[string]func(*Parts){
		"none":      func(*Parts) {},
		"config":    func(p *Parts) { p.Config.Services[0].Balance = RoundRobin; p.Origins = nil },
		"endpoints": func(p *Parts) { p.Endpoints[1].Endpoints = p.Endpoints[1].Endpoints[:1] },
		"secrets":   func(p *Parts) { p.Secrets[0].Digest, p.Bundles[0].Digest = "0e", "0f" },
	} {
		parts := sample()
		change(&parts)
		want := Freeze(parts)
		got := composed(Freeze(sample()), want, part)
		if got.Root != want.Root || Format(got)+FormatOrigins(got) != Format(want)+FormatOrigins(want) {
			t.Errorf("%s: composed to another snapshot:\n%s", part, Format(got))
		}
		gotWire, err := Encode(got)
		if err != nil {
			t.Fatal(err)
		}
		if wantWire, err := Encode(want); err != nil || !bytes.Equal(gotWire, wantWire) {
			t.Errorf("%s: another wire form: %v", part, err)
		}
		if changed := got.Root != Freeze(sample()).Root; changed != (part != "none") {
			t.Errorf("%s: the root hash changed: %t", part, changed)
		}
	}
}

// TestComposeCostsNothingOfTheConfiguration: Compose allocates the Snapshot and what
// three hashes need, however many hosts there are.
func TestComposeCostsNothingOfTheConfiguration(t *testing.T) {
	small, large := sample(), sample()
	for range 1000 {
		large.Config.Hosts = append(large.Config.Hosts, sample().Config.Hosts...)
	}
	cost := func(p Parts) float64 {
		s := Freeze(p)
		return testing.AllocsPerRun(10, func() { composed(s, s, "endpoints") })
	}
	if few, many := cost(small), cost(large); few != many {
		t.Errorf("%v allocations, %v with 1000 times the hosts", few, many)
	}
}

// TestDecodeOverSharesEveryKind: values that did not change are shared with the base.
func TestDecodeOverSharesEveryKind(t *testing.T) {
	data, err := Encode(Freeze(sample()))
	if err != nil {
		t.Fatal(err)
	}
	base, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	over, err := DecodeOver(data, base)
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range over.Config.Listeners {
		if l.ClientAuth != base.Config.Listeners[i].ClientAuth {
			t.Errorf("listener %s was decoded anew", l.ID)
		}
	}
	for i, s := range over.Config.Services {
		if s.TLS != base.Config.Services[i].TLS {
			t.Errorf("service %s was decoded anew", s.ID)
		}
	}
	for i, r := range over.Config.L4Routes {
		if len(r.Backends) > 0 && &r.Backends[0] != &base.Config.L4Routes[i].Backends[0] {
			t.Errorf("L4 route %s was decoded anew", r.ID)
		}
	}
}

// TestEndpointsWith: replacing some endpoints gives the same result as freezing the
// whole, and leaves the original unchanged.
func TestEndpointsWith(t *testing.T) {
	before := FreezeEndpoints(sample().Endpoints)
	was := before.Hash
	for i := range sample().Endpoints {
		all := sample().Endpoints
		all[i].Endpoints = []Endpoint{{Addr: netip.MustParseAddrPort("10.9.0.2:80")}, {Addr: netip.MustParseAddrPort("10.9.0.1:80")}}
		changed := all[i]
		changed.Endpoints = slices.Clone(all[i].Endpoints)
		want := FreezeEndpoints(all)
		got := before.With([]Endpoints{changed, {Service: ParseServiceID("shop/unknown:1")}})
		if got.Hash != want.Hash || !reflect.DeepEqual(got.all.items, want.all.items) {
			t.Errorf("%s: %+v, not %+v", changed.Service, got.all.items, want.all.items)
		}
	}
	if before.all.hash() != was || !reflect.DeepEqual(before.all.items, FreezeEndpoints(sample().Endpoints).all.items) {
		t.Error("they changed")
	}
}

// TestSecretsWith: secrets of which some have other material are those that were frozen
// whole, and what they were made of stays as it was.
func TestSecretsWith(t *testing.T) {
	secrets := func() []Secret {
		return []Secret{{Name: "shop/b", Chain: []byte("b"), Key: []byte("kb")}, {Name: "shop/a", Chain: []byte("a"), Key: []byte("ka")}, {Name: "shop/none"}}
	}
	bundles := []Bundle{{Name: "configmap/shop/ca", PEM: []byte("ca")}}
	before := FreezeSecrets(secrets(), bundles)
	was := before.Hash
	for i := range 2 {
		all := secrets()
		all[i].Chain, all[i].Key = []byte("new"), []byte("new key")
		got := before.With([]Secret{all[i], {Name: "shop/unknown", Chain: []byte("x"), Key: []byte("y")}})
		if want := FreezeSecrets(all, bundles); got.Hash != want.Hash || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, not %+v", got, want)
		}
	}
	if before.hashed().Hash != was || !reflect.DeepEqual(before, FreezeSecrets(secrets(), bundles)) {
		t.Error("they changed")
	}
}
