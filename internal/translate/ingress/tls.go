package ingress

import (
	"fmt"
	"strings"

	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
)

// collectTLS reads spec.tls. An entry without hosts is the certificate for any
// host, as the Ingress API says of controllers' default.
func (t *translation) collectTLS(in *ingress) {
	for i, entry := range in.object.Value.Spec.TLS {
		field := fmt.Sprintf("spec.tls[%d]", i)
		if entry.SecretName == "" {
			t.report(reason.SecretNotFound, in.object.At(field), "it names no secret")
		}
		secret := source.Name{Namespace: in.object.Origin.Namespace, Name: entry.SecretName}
		hosts := entry.Hosts
		if len(hosts) == 0 {
			hosts = []string{"*"}
		}
		for j, host := range hosts {
			at := in.object.At(fmt.Sprintf("%s.hosts[%d]", field, j))
			t.claim(Certificate{host, secret, at})
		}
	}
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

// hasTLS tells whether TLS is asked for a host: by name, by the wildcard of its
// parent, or for any host.
func (t *translation) hasTLS(host string) bool {
	_, parent, _ := strings.Cut(host, ".")
	for _, name := range []string{host, "*." + parent, "*"} {
		if _, asked := t.tls[name]; asked {
			return true
		}
	}
	return false
}
