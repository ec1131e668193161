package translate

import (
	"crypto/tls"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/translate/fragment"
)

// certify gives a listener a certificate, unless it has one for the host.
func (b *builder) certify(l *model.Listener, c fragment.Certificate, owner string) {
	secret := escaped(c.Secret.String())
	has, taken := b.certified[l.ID][c.Host]
	switch {
	case !taken:
		b.material(c)
		b.shows(l, model.Certificate{Host: c.Host, Secret: secret, Policy: c.Policy}, owner)
	case has.secret != secret:
		b.report(reason.CertificateConflict, c.Origin, "host %s has its certificate from secret %s of %s", c.Host, has.secret, has.owner)
	}
}

// shows adds a certificate to a listener that has none for the host.
func (b *builder) shows(l *model.Listener, c model.Certificate, owner string) {
	if b.certified[l.ID] == nil {
		b.certified[l.ID] = map[string]holder{}
	}
	b.certified[l.ID][c.Host] = holder{c.Secret, owner}
	l.Certificates = append(l.Certificates, c)
}

// identify makes the model's secret for a client certificate to backends.
func (b *builder) identify(i fragment.Identity) {
	if i.Secret.Name != "" {
		b.material(fragment.Certificate{Host: "*", Secret: i.Secret, Origin: i.Origin})
	} else if !slices.ContainsFunc(b.secrets, func(s model.Secret) bool { return s.Name == i.Name }) {
		b.secrets = append(b.secrets, model.Secret{Name: i.Name})
	}
}

// material makes the model's secret for a certificate. If the certificate is missing or
// broken, the secret has no material, so that only the handshakes for its hosts are
// refused.
func (b *builder) material(c fragment.Certificate) {
	covered, seen := b.made[c.Secret]
	if !seen {
		secret := model.Secret{Name: escaped(c.Secret.String())}
		covered = namesOf(b.read(c, &secret))
		b.made[c.Secret] = covered
		b.secrets = append(b.secrets, secret)
	}
	if covered != nil && c.Host != "*" && !covered.cover(wildcardSample(c.Host)) {
		b.report(reason.CertificateMismatch, c.Origin, "the certificate in secret %s does not cover %s", c.Secret, c.Host)
	}
}

// names are the names of a certificate. A map, because thousands of hosts may share a
// certificate with thousands of names, and [x509.Certificate.VerifyHostname] tries each
// one.
type names map[string]bool

func namesOf(cert *tls.Certificate) names {
	if cert == nil {
		return nil
	}
	out := names{}
	for _, name := range cert.Leaf.DNSNames {
		out[strings.ToLower(name)] = true
	}
	return out
}

// cover reports whether the names cover a host. A wildcard stands for exactly one label
// (RFC 9525 §6.3).
func (n names) cover(host string) bool {
	_, parent, _ := strings.Cut(host, ".")
	return n[host] || n["*."+parent]
}

// wildcardSample returns a name that a wildcard host matches; for other hosts, the host.
func wildcardSample(host string) string {
	if suffix := strings.TrimLeft(host, "*"); suffix != host {
		return "sample" + suffix
	}
	return host
}

// read reads chain and key into secret. If they are missing or invalid, it reports why
// and returns nil.
func (b *builder) read(c fragment.Certificate, secret *model.Secret) *tls.Certificate {
	if c.Secret.Name == "" {
		return nil // reported by the translator
	}
	object := b.set.Secrets.Get(c.Secret.Namespace, c.Secret.Name)
	if object == nil {
		b.report(reason.SecretNotFound, c.Origin, "there is no Secret %s", c.Secret)
		return nil
	}
	chain, key := object.Value.Data[corev1.TLSCertKey], object.Value.Data[corev1.TLSPrivateKeyKey]
	cert, err := tls.X509KeyPair(chain, key)
	if err != nil {
		b.report(reason.SecretInvalid, object.At("data"), "%v", err)
		return nil
	}
	secret.Chain, secret.Key = chain, key
	return &cert
}
