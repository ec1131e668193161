package upstream

import (
	"slices"

	"windrose.dev/windrose/internal/model"
)

// SameMaterial reports whether the services of two Snapshots with one configuration are
// reached with the same certificates and authorities, so that their clusters stay as they
// are.
func SameMaterial(s, old *model.Snapshot) bool {
	secrets, bundles := s.FrozenSecrets().Changed(old.FrozenSecrets())
	if len(secrets)+len(bundles) == 0 {
		return true
	}
	shown := slices.ContainsFunc(s.Config.Listeners, func(l model.Listener) bool { return secrets[l.BackendCertificate] })
	return !slices.ContainsFunc(s.Config.Services, func(one model.Service) bool {
		t := one.TLS
		return t != nil && (shown || secrets[t.Certificate] || slices.ContainsFunc(t.Bundles, func(name string) bool { return bundles[name] }))
	})
}
