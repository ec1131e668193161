package model

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
)

// Hash identifies a value by content.
type Hash [16]byte

func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// Hashes show what changed between two Snapshots without comparing their values.
type Hashes struct {
	// Root composes the three hashes below.
	Root Hash
	// ConfigHash composes the hashes of all listeners, L4 routes, hosts and services.
	ConfigHash Hash
	// EndpointsHash composes EndpointsHashes.
	EndpointsHash Hash
	SecretsHash   Hash
	// HostHashes and EndpointsHashes are in the order of Config.Hosts and Endpoints.
	HostHashes      []Hash
	EndpointsHashes []Hash
}

// Freeze sorts and hashes parts and takes ownership of them: the caller must not change
// them any more. The order in which values were added does not matter, except for the
// rules of a FirstMatch block.
func Freeze(parts Parts) *Snapshot {
	return Compose(
		FreezeConfig(parts.Config, parts.Origins),
		FreezeEndpoints(parts.Endpoints),
		FreezeSecrets(parts.Secrets, parts.Bundles),
	)
}

// list is a sorted list within a value of a Snapshot.
type list interface {
	sort()
	isSorted() bool
}

// ordered is a list with the function that sorts it.
type ordered[T any] struct {
	items   []T
	compare func(a, b T) int
}

func (o ordered[T]) sort()          { slices.SortFunc(o.items, o.compare) }
func (o ordered[T]) isSorted() bool { return slices.IsSortedFunc(o.items, o.compare) }

// sortList and checkList are callbacks for eachInConfig and eachInEndpoints.
func sortList(l list) bool  { l.sort(); return true }
func checkList(l list) bool { return l.isSorted() }

// eachInConfig calls do for every sorted list within the values of c, until do returns
// false.
func eachInConfig(c *Config, do func(list) bool) bool {
	for i := range c.Listeners {
		if !c.Listeners[i].eachList(do) {
			return false
		}
	}
	for i := range c.Services {
		if t := c.Services[i].TLS; t != nil && !(do(texts(t.Names)) && do(texts(t.URIs)) && do(texts(t.Bundles)) && do(t.Policy.suiteList())) {
			return false
		}
	}
	for i := range c.Hosts {
		if !c.Hosts[i].eachList(do) {
			return false
		}
	}
	return true
}

func (l *Listener) eachList(do func(list) bool) bool {
	for _, own := range l.Certificates {
		if !do(own.Policy.suiteList()) {
			return false
		}
	}
	return do(ordered[Certificate]{l.Certificates, compareCertificates}) && do(texts(l.Names)) &&
		(l.ClientAuth == nil || do(texts(l.ClientAuth.Bundles)))
}

func (h *Host) eachList(do func(list) bool) bool {
	for _, b := range h.Blocks {
		if b.Order == BySpecificity && !do(ordered[Rule]{b.Rules, compareRules}) {
			return false
		}
	}
	return do(ordered[ListenerID]{h.Listeners, ListenerID.Compare})
}

// eachInEndpoints is eachInConfig for endpoints.
func eachInEndpoints(all []Endpoints, do func(list) bool) bool {
	for _, e := range all {
		for i := range e.Endpoints {
			if labels := e.Endpoints[i].Labels; len(labels) > 1 && !do(ordered[Label]{labels, compareLabels}) {
				return false
			}
		}
		if !do(ordered[Endpoint]{e.Endpoints, compareEndpoints}) || !do(ordered[NamedEndpoint]{e.Names, compareNames}) {
			return false
		}
	}
	return true
}

// texts returns all as a list whose order has no meaning.
func texts(all []string) list { return ordered[string]{all, cmp.Compare[string]} }

func compareCertificates(a, b Certificate) int {
	return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Secret, b.Secret), a.Policy.compare(b.Policy))
}

func compareHosts(a, b Host) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), slices.CompareFunc(a.Listeners, b.Listeners, ListenerID.Compare))
}

// compareRules orders by specificity: exact paths, then expressions, then prefixes, then
// any path; longer before shorter; then by rank.
func compareRules(a, b Rule) int {
	return cmp.Or(
		cmp.Compare(pathRank(a.Path.Kind), pathRank(b.Path.Kind)),
		cmp.Compare(len(b.Path.Value), len(a.Path.Value)),
		cmp.Compare(a.Path.Value, b.Path.Value),
		cmp.Compare(a.Path.Kind, b.Path.Kind),
		cmp.Compare(a.Rank, b.Rank),
		cmp.Compare(a.ID, b.ID),
	)
}

func pathRank(k PathKind) int {
	return [...]int{ExactPath: 0, RegexPath: 1, PrefixPath: 2, RawPrefixPath: 2, AnyPath: 3}[k]
}

func (s *Secret) setDigest() {
	if len(s.Chain) > 0 || len(s.Key) > 0 {
		s.Digest = digest(s.Chain, s.Key)
	}
}

// digest separates its inputs by their lengths, so that no two lists of inputs share a
// digest by moving bytes from one input to the next.
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

func hashOf(data []byte) Hash {
	sum := sha256.Sum256(data)
	return Hash(sum[:16])
}

func compose(hashes ...Hash) Hash {
	h := sha256.New()
	for i := range hashes {
		h.Write(hashes[i][:])
	}
	return Hash(h.Sum(nil)[:16])
}
