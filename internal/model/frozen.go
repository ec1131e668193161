package model

import (
	"cmp"
	"slices"

	"github.com/fxamacker/cbor/v2"

	"windrose.dev/windrose/internal/reason"
)

// FrozenConfig is the configuration of Snapshots, sorted, encoded and hashed
// once. It is read-only and may be shared, as FrozenEndpoints and FrozenSecrets.
type FrozenConfig struct {
	// Hash leaves Origins out.
	Hash    Hash
	config  Config
	origins map[string]reason.Origin
	pieces  configPieces
}

// FrozenEndpoints are the endpoints of Snapshots.
type FrozenEndpoints struct {
	Hash      Hash
	endpoints []Endpoints
	pieces    pieces
}

// FrozenSecrets are the secrets and trust bundles of Snapshots.
type FrozenSecrets struct {
	// Hash is of names and digests, not of key material.
	Hash    Hash
	secrets []Secret
	bundles []Bundle
}

// pieces are the values of one kind, each encoded and hashed on its own.
type pieces struct {
	data   []cbor.RawMessage
	hashes []Hash
}

// hash composes the hashes of all pieces.
func (p pieces) hash() Hash { return compose(p.hashes...) }

// configPieces are the pieces of a Config.
type configPieces struct{ listeners, relays, services, hosts pieces }

func (p *configPieces) hash() Hash {
	return compose(p.listeners.hash(), p.relays.hash(), p.services.hash(), p.hosts.hash())
}

// FreezeConfig sorts, encodes and hashes the configuration. It takes its
// arguments over: the caller must not change them any more.
func FreezeConfig(c Config, origins map[string]reason.Origin) FrozenConfig {
	eachConfigList(&c, sortList)
	p := configPieces{encodeAll(c.Listeners), encodeAll(c.Relays), encodeAll(c.Services), encodeAll(c.Hosts)}
	return FrozenConfig{p.hash(), c, origins, p}
}

// FreezeEndpoints is FreezeConfig for endpoints.
func FreezeEndpoints(all []Endpoints) FrozenEndpoints {
	eachEndpointsList(all, sortList)
	p := encodeAll(all)
	return FrozenEndpoints{p.hash(), all, p}
}

// With is f with other endpoints for some of its Services: the rest is shared, and
// neither encoded nor hashed again. It takes changed over; a Service that f does not
// have is left out.
func (f FrozenEndpoints) With(changed []Endpoints) FrozenEndpoints {
	if len(changed) == 0 {
		return f
	}
	eachEndpointsList(changed, sortList)
	all, p := slices.Clone(f.endpoints), pieces{slices.Clone(f.pieces.data), slices.Clone(f.pieces.hashes)}
	for i := range changed {
		at, has := slices.BinarySearchFunc(all, changed[i].Service, func(e Endpoints, id string) int { return cmp.Compare(e.Service, id) })
		if has {
			all[at], p.data[at] = changed[i], encode(&changed[i])
			p.hashes[at] = hashOf(p.data[at])
		}
	}
	return FrozenEndpoints{p.hash(), all, p}
}

// FreezeSecrets is FreezeConfig for secrets and bundles. Those with material
// get their digests.
func FreezeSecrets(secrets []Secret, bundles []Bundle) FrozenSecrets {
	eachSecretsList(secrets, bundles, sortList)
	digestSecrets(secrets)
	digestBundles(bundles)
	return FrozenSecrets{hashSecrets(secrets, bundles), secrets, bundles}
}

func hashSecrets(secrets []Secret, bundles []Bundle) Hash {
	var digests [2][]string
	for _, secret := range secrets {
		digests[0] = append(digests[0], secret.Name, secret.Digest)
	}
	for _, bundle := range bundles {
		digests[1] = append(digests[1], bundle.Name, bundle.Digest)
	}
	return hashOf(encode(digests))
}

// Compose makes a Snapshot of three parts. It encodes, sorts and copies
// nothing, and hashes only the three hashes: a change of one part costs
// nothing of the others.
func Compose(config FrozenConfig, endpoints FrozenEndpoints, secrets FrozenSecrets) *Snapshot {
	return &Snapshot{
		Parts: Parts{
			Config: config.config, Origins: config.origins,
			Endpoints: endpoints.endpoints,
			Secrets:   secrets.secrets, Bundles: secrets.bundles,
		},
		Hashes: Hashes{
			Root:          compose(config.Hash, endpoints.Hash, secrets.Hash),
			ConfigHash:    config.Hash,
			EndpointsHash: endpoints.Hash,
			SecretsHash:   secrets.Hash,
			HostHashes:    config.pieces.hosts.hashes,
			ServiceHashes: endpoints.pieces.hashes,
		},
		config: config.pieces, endpoints: endpoints.pieces,
	}
}

// FrozenConfig returns the configuration, to be composed with other parts.
func (s *Snapshot) FrozenConfig() FrozenConfig {
	return FrozenConfig{s.ConfigHash, s.Config, s.Origins, s.config}
}

// FrozenEndpoints returns the endpoints, to be composed with other parts.
func (s *Snapshot) FrozenEndpoints() FrozenEndpoints {
	return FrozenEndpoints{s.EndpointsHash, s.Endpoints, s.endpoints}
}

// FrozenSecrets returns the secrets and bundles, to be composed with other parts.
func (s *Snapshot) FrozenSecrets() FrozenSecrets {
	return FrozenSecrets{s.SecretsHash, s.Secrets, s.Bundles}
}
