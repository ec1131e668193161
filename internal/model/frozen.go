package model

import (
	"cmp"
	"errors"
	"slices"

	"windrose.dev/windrose/internal/reason"
)

// frozen is a sorted list of the values of one kind, with the hash of each.
type frozen[T any] struct {
	items  []T
	hashes []Hash
}

// hash composes the hashes of all values.
func (f frozen[T]) hash() Hash { return compose(f.hashes...) }

// listKind is what lists of one kind have in common.
type listKind[T any] struct {
	// name is what messages call a value.
	name    string
	compare func(a, b T) int
	// digested is what the hash of a value is of; nil is all of it, encoded.
	digested func(*T) [2]string
	// complete sets the digest of a value; nil where there is none.
	complete func(*T)
}

// hash is that of a value, whose encoding is data.
func (k listKind[T]) hash(v *T, data []byte) Hash {
	if k.digested != nil {
		data = encode(k.digested(v))
	}
	return hashOf(data)
}

// The kinds of lists. The hash of a secret leaves out its key material, and that of a
// bundle its certificates: both have a digest, which is all that a text form has.
var (
	listenerKind  = listKind[Listener]{"listener", func(a, b Listener) int { return a.ID.Compare(b.ID) }, nil, nil}
	l4RouteKind   = listKind[L4Route]{"l4-route", compareL4Routes, nil, nil}
	serviceKind   = listKind[Service]{"service", func(a, b Service) int { return a.ID.Compare(b.ID) }, nil, nil}
	hostKind      = listKind[Host]{"host", compareHosts, nil, nil}
	endpointsKind = listKind[Endpoints]{"endpoints", func(a, b Endpoints) int { return a.Service.Compare(b.Service) }, nil, nil}
	secretKind    = listKind[Secret]{
		"secret", func(a, b Secret) int { return cmp.Compare(a.Name, b.Name) },
		func(s *Secret) [2]string { return [2]string{s.Name, s.Digest} }, (*Secret).setDigest,
	}
	bundleKind = listKind[Bundle]{
		"bundle", func(a, b Bundle) int { return cmp.Compare(a.Name, b.Name) },
		func(b *Bundle) [2]string { return [2]string{b.Name, b.Digest} }, (*Bundle).setDigest,
	}
)

// freeze sorts and hashes all.
func (k listKind[T]) freeze(all []T) frozen[T] {
	slices.SortFunc(all, k.compare)
	return frozen[T]{all, k.hashAll(all)}
}

func (k listKind[T]) hashAll(all []T) []Hash {
	hashes := make([]Hash, len(all))
	parallel(len(all), func(i int) { hashes[i] = k.hash(&all[i], encode(&all[i])) })
	return hashes
}

// splice is base without the values at the places gone, and with added. Both have to
// be in order, and no value may take the place of one that stays.
func (k listKind[T]) splice(base frozen[T], gone []uint32, added frozen[T]) (frozen[T], error) {
	if len(gone) == 0 && len(added.items) == 0 {
		return base, nil
	}
	size := max(len(base.items)-len(gone), 0) + len(added.items)
	out := frozen[T]{make([]T, 0, size), make([]Hash, 0, size)}
	next := 0 // of added
	for i := range base.items {
		if len(gone) > 0 && gone[0] == uint32(i) {
			gone = gone[1:]
			continue
		}
		for next < len(added.items) && k.compare(added.items[next], base.items[i]) < 0 {
			out.items, out.hashes = append(out.items, added.items[next]), append(out.hashes, added.hashes[next])
			next++
		}
		out.items, out.hashes = append(out.items, base.items[i]), append(out.hashes, base.hashes[i])
	}
	if len(gone) > 0 {
		return out, errors.New("a " + k.name + " is gone that was not there")
	}
	out.items, out.hashes = append(out.items, added.items[next:]...), append(out.hashes, added.hashes[next:]...)
	for i := 1; i < len(out.items); i++ {
		if k.compare(out.items[i-1], out.items[i]) >= 0 {
			return out, errors.New("a " + k.name + " stands twice, or out of order")
		}
	}
	return out, nil
}

// replace is f with changed in the place of the values of the same names. What f does not
// have is left out; of several for one name the last counts.
func (k listKind[T]) replace(f frozen[T], changed []T) frozen[T] {
	if len(changed) == 0 {
		return f
	}
	out := frozen[T]{slices.Clone(f.items), slices.Clone(f.hashes)}
	for i := range changed {
		v := &changed[i]
		at, has := slices.BinarySearchFunc(out.items, *v, k.compare)
		if !has {
			continue
		}
		if k.complete != nil {
			k.complete(v)
		}
		out.items[at], out.hashes[at] = *v, k.hash(v, encode(v))
	}
	return out
}

// sameNames reports whether two lists have values of the same names.
func (k listKind[T]) sameNames(a, b frozen[T]) bool {
	return slices.EqualFunc(a.items, b.items, func(x, y T) bool { return k.compare(x, y) == 0 })
}

// changed walks two lists and tells which places of base are gone, and which of f are
// new. A value that is another now is both.
func (k listKind[T]) changed(base, f frozen[T]) (gone, added []uint32) {
	if len(base.hashes) > 0 && len(base.hashes) == len(f.hashes) && &base.hashes[0] == &f.hashes[0] {
		return nil, nil // they are one list
	}
	i, j := 0, 0
	for i < len(base.items) || j < len(f.items) {
		order := k.order(base, f, i, j)
		if order == 0 && base.hashes[i] == f.hashes[j] {
			i, j = i+1, j+1
			continue
		}
		if order <= 0 {
			gone = append(gone, uint32(i))
			i++
		}
		if order >= 0 {
			added = append(added, uint32(j))
			j++
		}
	}
	return gone, added
}

// order compares the value at i of a with that at j of b; an end comes last.
func (k listKind[T]) order(a, b frozen[T], i, j int) int {
	switch {
	case i == len(a.items):
		return 1
	case j == len(b.items):
		return -1
	}
	return k.compare(a.items[i], b.items[j])
}

// FrozenConfig is the configuration of Snapshots, sorted and hashed once. It is
// read-only and may be shared, as FrozenEndpoints and FrozenSecrets.
type FrozenConfig struct {
	// Hash leaves Origins out.
	Hash      Hash
	listeners frozen[Listener]
	l4Routes  frozen[L4Route]
	services  frozen[Service]
	hosts     frozen[Host]
	origins   map[string]reason.Origin
}

// FrozenEndpoints are the endpoints of Snapshots.
type FrozenEndpoints struct {
	Hash Hash
	all  frozen[Endpoints]
}

// FrozenSecrets are the secrets and trust bundles of Snapshots.
type FrozenSecrets struct {
	// Hash is of names and digests, not of key material.
	Hash    Hash
	secrets frozen[Secret]
	bundles frozen[Bundle]
}

// FreezeConfig sorts and hashes the configuration. It takes its arguments over: the
// caller must not change them any more.
func FreezeConfig(c Config, origins map[string]reason.Origin) FrozenConfig {
	eachInConfig(&c, sortList)
	return FrozenConfig{
		listeners: listenerKind.freeze(c.Listeners), l4Routes: l4RouteKind.freeze(c.L4Routes),
		services: serviceKind.freeze(c.Services), hosts: hostKind.freeze(c.Hosts), origins: origins,
	}.hashed()
}

func (f FrozenConfig) hashed() FrozenConfig {
	f.Hash = compose(f.listeners.hash(), f.l4Routes.hash(), f.services.hash(), f.hosts.hash())
	return f
}

func (f *FrozenConfig) config() Config {
	return Config{Listeners: f.listeners.items, Hosts: f.hosts.items, L4Routes: f.l4Routes.items, Services: f.services.items}
}

// FreezeEndpoints is FreezeConfig for endpoints.
func FreezeEndpoints(all []Endpoints) FrozenEndpoints {
	eachInEndpoints(all, sortList)
	return FrozenEndpoints{all: endpointsKind.freeze(all)}.hashed()
}

func (f FrozenEndpoints) hashed() FrozenEndpoints {
	f.Hash = f.all.hash()
	return f
}

// With is f with other endpoints for some of its Services: the rest is shared, and
// neither encoded nor hashed again. It takes changed over; a Service that f does not
// have is left out, and of several lists for one Service the last counts.
func (f FrozenEndpoints) With(changed []Endpoints) FrozenEndpoints {
	eachInEndpoints(changed, sortList)
	return FrozenEndpoints{all: endpointsKind.replace(f.all, changed)}.hashed()
}

// FreezeSecrets is FreezeConfig for secrets and bundles. Those with material
// get their digests.
func FreezeSecrets(secrets []Secret, bundles []Bundle) FrozenSecrets {
	for i := range secrets {
		secrets[i].setDigest()
	}
	for i := range bundles {
		bundles[i].setDigest()
	}
	return FrozenSecrets{secrets: secretKind.freeze(secrets), bundles: bundleKind.freeze(bundles)}.hashed()
}

// With is f with other material for some of its secrets: the rest is shared. A secret
// that f does not have is left out.
func (f FrozenSecrets) With(changed []Secret) FrozenSecrets {
	return FrozenSecrets{secrets: secretKind.replace(f.secrets, changed), bundles: f.bundles}.hashed()
}

// Changed returns the names of the secrets and bundles that f and an older one do not both
// have as they are.
func (f FrozenSecrets) Changed(old FrozenSecrets) (secrets, bundles map[string]bool) {
	return changedNames(secretKind, old.secrets, f.secrets, func(s *Secret) string { return s.Name }),
		changedNames(bundleKind, old.bundles, f.bundles, func(b *Bundle) string { return b.Name })
}

func changedNames[T any](k listKind[T], old, now frozen[T], name func(*T) string) map[string]bool {
	names := map[string]bool{}
	gone, added := k.changed(old, now)
	for _, i := range gone {
		names[name(&old.items[i])] = true
	}
	for _, i := range added {
		names[name(&now.items[i])] = true
	}
	return names
}

// sameNames reports whether f and other have secrets and bundles of the same names, which
// is all that a configuration says of them.
func (f *FrozenSecrets) sameNames(other *FrozenSecrets) bool {
	return f.Hash == other.Hash || secretKind.sameNames(f.secrets, other.secrets) && bundleKind.sameNames(f.bundles, other.bundles)
}

func (f FrozenSecrets) hashed() FrozenSecrets {
	f.Hash = compose(f.secrets.hash(), f.bundles.hash())
	return f
}

// Compose makes a Snapshot of three parts. It encodes, sorts and copies
// nothing, and hashes only the three hashes: a change of one part costs
// nothing of the others.
func Compose(config FrozenConfig, endpoints FrozenEndpoints, secrets FrozenSecrets) *Snapshot {
	return &Snapshot{
		Parts: Parts{
			Config: config.config(), Origins: config.origins,
			Endpoints: endpoints.all.items,
			Secrets:   secrets.secrets.items, Bundles: secrets.bundles.items,
		},
		Hashes: Hashes{
			Root:            compose(config.Hash, endpoints.Hash, secrets.Hash),
			ConfigHash:      config.Hash,
			EndpointsHash:   endpoints.Hash,
			SecretsHash:     secrets.Hash,
			HostHashes:      config.hosts.hashes,
			EndpointsHashes: endpoints.all.hashes,
		},
		config: config, endpoints: endpoints, secrets: secrets,
	}
}

// FrozenConfig returns the configuration, to be composed with other parts.
func (s *Snapshot) FrozenConfig() FrozenConfig { return s.config }

// FrozenEndpoints returns the endpoints, to be composed with other parts.
func (s *Snapshot) FrozenEndpoints() FrozenEndpoints { return s.endpoints }

// FrozenSecrets returns the secrets and bundles, to be composed with other parts.
func (s *Snapshot) FrozenSecrets() FrozenSecrets { return s.secrets }
