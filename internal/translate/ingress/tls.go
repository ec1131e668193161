package ingress

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
)

// collectTLS reads spec.tls. An entry without hosts is for the hosts of the
// rules, and for any host only where these name none.
func (t *translation) collectTLS(in *ingress) {
	for i, entry := range in.object.Value.Spec.TLS {
		field := fmt.Sprintf("spec.tls[%d]", i)
		if entry.SecretName == "" {
			t.report(reason.SecretNotFound, in.object.At(field), "it names no secret")
			t.out.Reports[len(t.out.Reports)-1].Fix = "write secretName"
		}
		secret := source.Name{Namespace: in.object.Origin.Namespace, Name: entry.SecretName}
		for j, host := range hostsOf(entry, in.object.Value.Spec.Rules) {
			at := in.object.At(fmt.Sprintf("%s.hosts[%d]", field, j))
			if isHost(host) && t.mayClaim(in, host, at) {
				t.claim(Certificate{host, secret, at})
			}
		}
	}
}

// ownership lists the namespaces that have rules for each host, and for names
// with each parent.
type ownership struct{ hosts, below map[string]map[string]bool }

func ownersOf(served []*ingress) ownership {
	o := ownership{map[string]map[string]bool{}, map[string]map[string]bool{}}
	add := func(to map[string]map[string]bool, key, namespace string) {
		if to[key] == nil {
			to[key] = map[string]bool{}
		}
		to[key][namespace] = true
	}
	for _, in := range served {
		for _, r := range in.object.Value.Spec.Rules {
			if r.HTTP == nil || len(r.HTTP.Paths) == 0 {
				continue // to name a host is not to serve it
			}
			host := cmp.Or(r.Host, "*")
			add(o.hosts, host, in.object.Origin.Namespace)
			if _, parent, found := strings.Cut(host, "."); found {
				add(o.below, parent, in.object.Origin.Namespace)
			}
		}
	}
	return o
}

// mayClaim tells whether an Ingress may give a host a certificate: if its
// namespace has a rule for the host, or nobody else has one for it, or for a
// name that the wildcard stands for.
func (t *translation) mayClaim(in *ingress, host string, at reason.Origin) bool {
	if t.owns(in, host) {
		return true
	}
	t.report(reason.CertificateConflict, at, "host %s is served by rules of another namespace alone, so this certificate is not used", host)
	t.out.Reports[len(t.out.Reports)-1].Fix = "name the hosts of this namespace's own rules"
	return false
}

// owns tells whether the namespace of an Ingress has a say over a host's TLS.
func (t *translation) owns(in *ingress, host string) bool {
	own := func(namespaces map[string]bool) bool {
		return len(namespaces) == 0 || namespaces[in.object.Origin.Namespace]
	}
	parent, wildcard := strings.CutPrefix(host, "*.")
	return host == "*" || own(t.owners.hosts[host]) && (!wildcard || own(t.owners.below[parent]))
}

func hostsOf(entry networkingv1.IngressTLS, rules []networkingv1.IngressRule) []string {
	if len(entry.Hosts) > 0 {
		return entry.Hosts
	}
	var hosts []string
	for _, r := range rules {
		hosts = append(hosts, cmp.Or(r.Host, "*"))
	}
	if len(hosts) == 0 {
		hosts = []string{"*"}
	}
	return slices.Compact(hosts)
}

// claim gives a host a certificate, unless an older Ingress has given it
// another.
func (t *translation) claim(c Certificate) {
	first, taken := t.tls[c.Host]
	if !taken {
		t.tls[c.Host] = c
		return
	}
	if first.Secret != c.Secret {
		t.report(reason.CertificateConflict, c.Origin, "host %s has secret %s from %s", c.Host, first.Secret, first.Origin.Object())
	}
}

// hasTLS tells whether TLS is asked for a host: by name, or by the wildcard of
// its parent in the same namespace. A certificate for any host does not redirect
// those of others.
func (t *translation) hasTLS(host, namespace string) bool {
	if _, asked := t.tls[host]; asked {
		return true
	}
	_, parent, _ := strings.Cut(host, ".")
	wildcard, asked := t.tls["*."+parent]
	return asked && wildcard.Secret.Namespace == namespace
}
