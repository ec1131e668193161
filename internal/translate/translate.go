// Package translate builds a Snapshot from a Set: it runs the translators of
// all dialects, merges what they ask for, and resolves Services and Secrets.
//
// [Build] is a pure function. Nothing that is wrong stops it: it becomes a
// Report, and what it concerns is closed or left out.
package translate

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
	"windrose.dev/windrose/internal/translate/backend"
	"windrose.dev/windrose/internal/translate/ingress"
)

// Options are what the user of the translation chooses.
type Options struct {
	Ingress ingress.Options
}

// The ports that Ingress hosts are served on.
const (
	httpPort  = 80
	httpsPort = 443
)

// Build makes the Snapshot for a Set. The Reports include those of the Set.
func Build(set *source.Set, opts Options) (*model.Snapshot, []reason.Report) {
	in := ingress.Translate(set, opts.Ingress)
	b := builder{set: set, reports: slices.Concat(set.Reports, in.Reports, backend.Unserved(set))}
	parts := model.Parts{Origins: printable(in.Origins)}
	parts.Config.Services = services(in.Refs)
	parts.Endpoints = backend.Endpoints(set, in.Refs)
	parts.Secrets = b.secrets(in)
	parts.Config.Listeners = listeners(in)
	parts.Config.Hosts = hosts(in)
	return model.Freeze(parts), reason.Sorted(b.reports)
}

// printable makes origins fit for the wire: a file's name may be any bytes.
func printable(origins map[string]reason.Origin) map[string]reason.Origin {
	for id, o := range origins {
		if !utf8.ValidString(o.File) {
			o.File = strings.ToValidUTF8(o.File, "\uFFFD")
			origins[id] = o
		}
	}
	return origins
}

func services(refs []backend.Ref) []model.Service {
	out := make([]model.Service, 0, len(refs))
	for _, ref := range refs {
		out = append(out, model.Service{ID: ref.ID()})
	}
	slices.SortFunc(out, func(a, b model.Service) int { return cmp.Compare(a.ID, b.ID) })
	return slices.Compact(out)
}

func hosts(in ingress.Result) []model.Host {
	ports := []uint16{httpPort}
	if len(in.Certificates) > 0 {
		ports = append(ports, httpsPort)
	}
	out := make([]model.Host, 0, len(in.Blocks))
	for name, block := range in.Blocks {
		out = append(out, model.Host{Name: name, Ports: slices.Clone(ports), Blocks: []model.Block{block}})
	}
	return out
}

func listeners(in ingress.Result) []model.Listener {
	if len(in.Blocks) == 0 && len(in.Certificates) == 0 {
		return nil
	}
	out := []model.Listener{{Port: httpPort}}
	if len(in.Certificates) == 0 {
		return out
	}
	https := model.Listener{Port: httpsPort, Protocol: model.HTTPS}
	for _, c := range in.Certificates {
		https.Certificates = append(https.Certificates, model.Certificate{Host: c.Host, Secret: c.Secret.String()})
	}
	return append(out, https)
}

type builder struct {
	set     *source.Set
	reports []reason.Report
}

// secrets makes the model's secrets. A certificate whose secret is missing or
// broken stays without material, so that handshakes for its hosts are refused
// and nothing else.
func (b *builder) secrets(in ingress.Result) []model.Secret {
	made := map[source.Name]*tls.Certificate{}
	var out []model.Secret
	for _, c := range in.Certificates {
		cert, seen := made[c.Secret]
		if !seen {
			secret := model.Secret{Name: c.Secret.String()}
			cert = b.material(c, &secret)
			made[c.Secret] = cert
			out = append(out, secret)
		}
		if cert != nil && c.Host != "*" && cert.Leaf.VerifyHostname(wildcardSample(c.Host)) != nil {
			b.report(reason.CertificateMismatch, c.Origin, "the certificate in secret %s does not cover %s", c.Secret, c.Host)
		}
	}
	return out
}

// wildcardSample is a name that a wildcard host stands for.
func wildcardSample(host string) string {
	if len(host) > 2 && host[:2] == "*." {
		return "sample" + host[1:]
	}
	return host
}

// material reads chain and key into secret. It returns nil, having reported
// why, when they are not to be had.
func (b *builder) material(c ingress.Certificate, secret *model.Secret) *tls.Certificate {
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

func (b *builder) report(code reason.Code, at reason.Origin, format string, args ...any) {
	b.reports = append(b.reports, reason.New(code, at, fmt.Sprintf(format, args...)))
}
