package upstream

import (
	"fmt"

	"windrose.dev/windrose/internal/model"
)

// Bundles are those of a Snapshot by name.
type Bundles map[string]*model.Bundle

// BundlesOf indexes the bundles of a Snapshot.
func BundlesOf(s *model.Snapshot) Bundles {
	out := make(Bundles, len(s.Bundles))
	for i := range s.Bundles {
		out[s.Bundles[i].Name] = &s.Bundles[i]
	}
	return out
}

// Get returns a bundle that has certificates.
func (b Bundles) Get(name string) (*model.Bundle, error) {
	switch bundle := b[name]; {
	case bundle == nil:
		return nil, fmt.Errorf("there is no bundle %s", name)
	case len(bundle.PEM) == 0:
		return nil, fmt.Errorf("bundle %s has no certificates", name)
	default:
		return bundle, nil
	}
}
