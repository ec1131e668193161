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
			if isHost(host) {
				t.claim(Certificate{host, secret, at})
			}
		}
	}
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
// its parent. A certificate for any host does not redirect those of others.
func (t *translation) hasTLS(host string) bool {
	_, parent, _ := strings.Cut(host, ".")
	for _, name := range []string{host, "*." + parent} {
		if _, asked := t.tls[name]; asked {
			return true
		}
	}
	return false
}
