package translate

import (
	"slices"
	"strings"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/translate/fragment"
	"windrose.dev/windrose/internal/translate/secret"
)

// certify gives a listener a certificate, unless it has one for the host.
func (b *builder) certify(l *model.Listener, c fragment.Certificate, owner string) {
	name := escaped(c.Secret.String())
	has, taken := b.certified[l.ID][c.Host]
	switch {
	case !taken:
		b.material(c, secret.ServerCertificate)
		b.shows(l, model.Certificate{Host: c.Host, Secret: name, Policy: c.Policy}, owner)
	case has.secret != name:
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
		b.material(fragment.Certificate{Host: "*", Secret: i.Secret, Origin: i.Origin}, secret.ClientCertificate)
	} else if !slices.ContainsFunc(b.secrets, func(s model.Secret) bool { return s.Name == i.Name }) {
		b.secrets = append(b.secrets, model.Secret{Name: i.Name})
	}
}

// material makes the model's secret for a certificate. If the certificate is missing or
// broken, the secret has no material, so that only the handshakes for its hosts are
// refused. It reads the Secret each time, since each use of it counts.
func (b *builder) material(c fragment.Certificate, use secret.Use) {
	pair := b.pairs.Pair(c.Secret, use)
	if !b.made[c.Secret] {
		b.made[c.Secret] = true
		b.secrets = append(b.secrets, b.secret(c, pair))
	}
	if pair != nil && pair.Err == nil && c.Host != "*" && !pair.Covers(wildcardSample(c.Host)) {
		b.report(reason.CertificateMismatch, c.Origin, "the certificate in secret %s does not cover %s", c.Secret, c.Host)
	}
}

// wildcardSample returns a name that a wildcard host matches; for other hosts, the host.
func wildcardSample(host string) string {
	if suffix := strings.TrimLeft(host, "*"); suffix != host {
		return "sample" + suffix
	}
	return host
}

// secret returns the model's secret for a pair. If the pair is missing or invalid, it
// reports why.
func (b *builder) secret(c fragment.Certificate, pair *secret.Pair) model.Secret {
	out := model.Secret{Name: escaped(c.Secret.String())}
	switch {
	case c.Secret.Name == "": // reported by the translator
	case pair == nil:
		b.report(reason.SecretNotFound, c.Origin, "there is no Secret %s", c.Secret)
	case pair.Err != nil:
		b.report(reason.SecretInvalid, pair.Origin, "%v", pair.Err)
	default:
		out.Chain, out.Key = pair.Chain, pair.Key
	}
	return out
}
