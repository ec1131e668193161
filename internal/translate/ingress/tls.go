package ingress

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
	"windrose.dev/windrose/internal/translate/fragment"
)

// collectTLS reads spec.tls. An entry without hosts is for the hosts of the rules, or for
// any host if the rules have none.
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
			if !isHost(host) {
				continue
			}
			for _, one := range t.claimable(in, host, at) {
				t.claim(fragment.Certificate{Listener: httpsID, Host: one, Secret: secret, Origin: at})
			}
		}
	}
}

// ownership holds the namespaces that have rules for each host and for names below each
// parent, and those names.
type ownership struct {
	hosts, below map[string]map[string]bool
	names        map[under]map[string]bool
}

// under is a namespace and the parent of some of its host names.
type under struct{ namespace, parent string }

func ownersOf(served []*ingress) ownership {
	o := ownership{map[string]map[string]bool{}, map[string]map[string]bool{}, map[under]map[string]bool{}}
	add := func(to map[string]map[string]bool, key, namespace string) {
		if to[key] == nil {
			to[key] = map[string]bool{}
		}
		to[key][namespace] = true
	}
	for _, in := range served {
		for _, r := range in.object.Value.Spec.Rules {
			if r.HTTP == nil || len(r.HTTP.Paths) == 0 {
				continue // an Ingress that names a host need not serve it
			}
			host := cmp.Or(r.Host, "*")
			add(o.hosts, host, in.object.Origin.Namespace)
			if _, parent, found := strings.Cut(host, "."); found {
				add(o.below, parent, in.object.Origin.Namespace)
				o.name(under{in.object.Origin.Namespace, parent}, host)
			}
		}
	}
	return o
}

func (o *ownership) name(at under, host string) {
	if o.names[at] == nil {
		o.names[at] = map[string]bool{}
	}
	o.names[at][host] = true
}

// claimable returns the hosts for which an Ingress may set a certificate when it names
// host: host itself if the namespace of the Ingress has a rule for it, or if no other
// namespace has a rule for it or for a name that the wildcard matches. For a wildcard
// that it does not own, a namespace may still set the certificates of its own names below
// it, so that rules of other namespaces take nothing from it.
func (t *translation) claimable(in *ingress, host string, at reason.Origin) []string {
	if t.owns(in, host) {
		return []string{host}
	}
	parent, _ := strings.CutPrefix(host, "*.")
	below := under{in.object.Origin.Namespace, parent}
	own := sortedKeys(t.owners.names[below])
	delete(t.owners.names, below) // a second claim would conflict with the first
	if own = slices.DeleteFunc(own, func(name string) bool { return name == host }); host == parent || len(own) == 0 {
		t.report(reason.CertificateConflict, at, "host %s is served by rules of another namespace alone, so this certificate is not used", host)
	} else {
		t.report(reason.CertificateConflict, at, "host %s is served by rules of another namespace, so this certificate is for the names below it that this one has rules for", host)
	}
	t.fix("name the hosts of this namespace's own rules")
	if host == parent {
		return nil
	}
	return own
}

// owns reports whether the namespace of an Ingress may decide on the TLS of a host.
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

// claim gives a host a certificate, unless an older Ingress has set another one.
func (t *translation) claim(c fragment.Certificate) {
	first, taken := t.tls[c.Host]
	if !taken {
		t.tls[c.Host] = c
		return
	}
	if first.Secret != c.Secret {
		t.report(reason.CertificateConflict, c.Origin, "host %s has secret %s from %s", c.Host, first.Secret, first.Origin.Object())
	}
}

// hasTLS reports whether a host has TLS: by its name, or by the wildcard of its parent in
// the same namespace. A certificate for any host does not redirect the hosts of others.
func (t *translation) hasTLS(host, namespace string) bool {
	if _, asked := t.tls[host]; asked {
		return true
	}
	_, parent, _ := strings.Cut(host, ".")
	wildcard, asked := t.tls["*."+parent]
	return asked && wildcard.Secret.Namespace == namespace
}
