package model

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
)

// Hash identifies a value by content.
type Hash [16]byte

func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// Hashes tell what changed between two Snapshots without comparing them.
type Hashes struct {
	// Root composes the three below.
	Root Hash
	// ConfigHash composes the listeners', hosts' and services' hashes.
	ConfigHash Hash
	// EndpointsHash composes ServiceHashes.
	EndpointsHash Hash
	SecretsHash   Hash
	// HostHashes and ServiceHashes follow Config.Hosts and Endpoints.
	HostHashes    []Hash
	ServiceHashes []Hash
}

// Freeze sorts and hashes parts. It takes them over: the caller must not
// change them any more. The order in which things were added does not matter,
// but for the rules of a FirstMatch block.
func Freeze(parts Parts) *Snapshot {
	sortConfig(&parts.Config)
	sortEndpoints(parts.Endpoints)
	digestSecrets(parts.Secrets)
	s := &Snapshot{Parts: parts}
	s.hash()
	return s
}

func sortConfig(c *Config) {
	slices.SortFunc(c.Listeners, func(a, b Listener) int { return cmp.Compare(a.Port, b.Port) })
	for _, l := range c.Listeners {
		slices.SortFunc(l.Certificates, func(a, b Certificate) int {
			return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Secret, b.Secret))
		})
	}
	slices.SortFunc(c.Services, func(a, b Service) int { return cmp.Compare(a.ID, b.ID) })
	for _, h := range c.Hosts {
		slices.Sort(h.Ports)
		for _, b := range h.Blocks {
			if b.Order == BySpecificity {
				slices.SortFunc(b.Rules, compareRules)
			}
		}
	}
	slices.SortFunc(c.Hosts, func(a, b Host) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), slices.Compare(a.Ports, b.Ports))
	})
}

// compareRules orders by specificity: exact, then longer prefixes, then any.
func compareRules(a, b Rule) int {
	return cmp.Or(
		cmp.Compare(pathRank(a.Path.Kind), pathRank(b.Path.Kind)),
		cmp.Compare(len(b.Path.Value), len(a.Path.Value)),
		cmp.Compare(a.Path.Value, b.Path.Value),
		cmp.Compare(a.ID, b.ID),
	)
}

func pathRank(k PathKind) int {
	return [...]int{ExactPath: 0, RegexPath: 1, PrefixPath: 2, AnyPath: 3}[k]
}

func sortEndpoints(all []Endpoints) {
	slices.SortFunc(all, func(a, b Endpoints) int { return cmp.Compare(a.Service, b.Service) })
	for _, e := range all {
		slices.SortFunc(e.Endpoints, func(a, b Endpoint) int {
			return cmp.Or(a.Addr.Compare(b.Addr), strings.Compare(a.Pod, b.Pod))
		})
	}
}

func digestSecrets(all []Secret) {
	slices.SortFunc(all, func(a, b Secret) int { return cmp.Compare(a.Name, b.Name) })
	for i := range all {
		if len(all[i].Chain) == 0 && len(all[i].Key) == 0 {
			continue
		}
		all[i].Digest = digest(all[i].Chain, all[i].Key)
	}
}

// digest separates its inputs by their lengths, so that no two pairs share it.
func digest(inputs ...[]byte) string {
	h := sha256.New()
	for _, in := range inputs {
		var size [8]byte
		binary.BigEndian.PutUint64(size[:], uint64(len(in)))
		h.Write(size[:])
		h.Write(in)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (s *Snapshot) hash() {
	s.HostHashes = hashAll(s.Config.Hosts)
	s.ServiceHashes = hashAll(s.Endpoints)
	digests := make([]string, 0, 2*len(s.Secrets))
	for _, secret := range s.Secrets {
		digests = append(digests, secret.Name, secret.Digest)
	}
	s.ConfigHash = compose(append([]Hash{
		hashValue(s.Config.Listeners), hashValue(s.Config.Services),
	}, s.HostHashes...)...)
	s.EndpointsHash = compose(s.ServiceHashes...)
	s.SecretsHash = hashValue(digests)
	s.Root = compose(s.ConfigHash, s.EndpointsHash, s.SecretsHash)
}

func compose(hashes ...Hash) Hash {
	h := sha256.New()
	for i := range hashes {
		h.Write(hashes[i][:])
	}
	return Hash(h.Sum(nil)[:16])
}
