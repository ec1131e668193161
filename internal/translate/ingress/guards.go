package ingress

import (
	"maps"
	"slices"
	"strings"

	"windrose.dev/windrose/internal/source"
)

// owner is a controller that reads annotations of Ingresses.
type owner struct {
	prefix string
	// name is empty for ingress-nginx, which has the table of annotations.
	name string
}

// owners are the controllers whose annotations are in common use. Their annotations are
// reported, and close routes if the name sounds like a guard.
var owners = []owner{
	{Prefix, ""},
	{"alb.ingress.kubernetes.io/", "the AWS Load Balancer Controller"},
	{"appgw.ingress.kubernetes.io/", "Azure's Application Gateway"},
	{"getambassador.io/", "Emissary"},
	{"haproxy-ingress.github.io/", "HAProxy Ingress"},
	{"haproxy.org/", "HAProxy's controller"},
	{"haproxy.router.openshift.io/", "OpenShift's router"},
	{"higress.io/", "Higress"},
	{"ingress.cilium.io/", "Cilium"},
	{"ingress.kubernetes.io/", "an early controller"},
	{"ingress.pomerium.io/", "Pomerium"},
	{"k8s.apisix.apache.org/", "APISIX"},
	{"konghq.com/", "Kong"},
	{"networking.gke.io/", "GKE"},
	{"nginx.com/", "F5's NGINX controller"},
	{"nginx.org/", "F5's NGINX controller"},
	{"projectcontour.io/", "Contour"},
	{"traefik.ingress.kubernetes.io/", "Traefik"},
	{"zalando.org/", "Skipper"},
}

// ownerOf returns the controller of an annotation, and the name without the prefix. A
// prefix with one or two typing errors still belongs to ingress-nginx.
func ownerOf(key string) (name string, of *owner) {
	prefix, name, found := strings.Cut(key, "/")
	if !found {
		return "", nil
	}
	prefix = strings.ToLower(prefix) + "/"
	for i := range owners {
		if owners[i].prefix == prefix {
			return name, &owners[i]
		}
	}
	if near(prefix, Prefix) {
		return name, &owners[0]
	}
	return "", nil
}

// near reports whether two words differ by two letters at most.
func near(a, b string) bool {
	const most = 2
	return max(len(a), len(b))-min(len(a), len(b)) <= most && source.Distance(a, b) <= most
}

// nearestName returns the candidate that a misspelled name probably means, or "".
func nearestName(name string, candidates []string) string {
	name = strings.ToLower(name)
	best := ""
	for _, candidate := range candidates {
		if near(name, candidate) && (best == "" || source.Distance(name, candidate) < source.Distance(name, best)) {
			best = candidate
		}
	}
	return best
}

// names are the names in the table, and guardNames those of guards, sorted.
var (
	names      = slices.Sorted(maps.Keys(byName))
	guardNames = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !byName[name].Guard })
)

// guardPrefixes are prefixes of names that guard something even if the name is unknown: a
// misspelled guard must not leave its routes open.
var guardPrefixes = []string{"auth", "allowlist", "whitelist", "denylist", "blacklist", "blocklist", "deny", "limit", "rate-limit", "global-rate-limit", "satisfy", "modsecurity", "enable-modsecurity", "enable-owasp", "waf"}

// guardWords are parts of the names of other controllers' guards, without dashes.
var guardWords = []string{
	"acl", "allowlist", "auth", "blacklist", "blocklist", "cidr", "deny", "iprestriction", "jwt", "limit", "middlewares",
	"modsecurity", "oidc", "plugins", "policies", "security", "snippet", "sourcerange", "waf", "whitelist",
}

// foreignInert are values with which no guard of another controller is on.
var foreignInert = []string{"false", "off", "none", "0"}

// soundsLikeGuard reports whether the name of another controller's annotation is
// evidently that of a guard.
func soundsLikeGuard(name string) bool {
	name = strings.ToLower(strings.ReplaceAll(name, "-", ""))
	return slices.ContainsFunc(guardWords, func(word string) bool { return strings.Contains(name, word) })
}
