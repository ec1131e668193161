package translate

import (
	"windrose.dev/windrose/internal/source"
	"windrose.dev/windrose/internal/translate/fragment"
	"windrose.dev/windrose/internal/translate/gateway"
	"windrose.dev/windrose/internal/translate/ingress"
	"windrose.dev/windrose/internal/translate/secret"
)

// dialect is a family of resources with one set of rules.
type dialect struct {
	// owner and owners name the dialect's resources in Reports, in singular and plural.
	owner, owners string
	// translate gets a Set without its Secrets, which the Reader has.
	translate func(*source.Set, *secret.Reader, Options) fragment.Fragment
	// guards reports whether a resource guards something (see Guards).
	guards func(kind string, annotations map[string]string) bool
}

// dialects are all dialects in order of precedence. Only this table knows them by name;
// the merge does not.
var dialects = []dialect{
	{
		owner: "a Gateway", owners: "Gateways", guards: gateway.Guards,
		translate: func(set *source.Set, secrets *secret.Reader, opts Options) fragment.Fragment {
			return gateway.Translate(set, secrets, opts.Gateway)
		},
	},
	{
		owner: "an Ingress", owners: "Ingresses", guards: ingress.Guards,
		translate: func(set *source.Set, secrets *secret.Reader, opts Options) fragment.Fragment {
			return ingress.Translate(set, secrets, opts.Ingress)
		},
	},
}

// Guards reports whether a resource of a kind, with these annotations, guards something.
// Such a resource must not be ignored when it is broken (see dir.Config).
func Guards(kind string, annotations map[string]string) bool {
	for _, d := range dialects {
		if d.guards(kind, annotations) {
			return true
		}
	}
	return false
}
