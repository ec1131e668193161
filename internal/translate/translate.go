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
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
	"windrose.dev/windrose/internal/translate/backend"
	"windrose.dev/windrose/internal/translate/gateway"
	"windrose.dev/windrose/internal/translate/ingress"
)

// Options are what the user of the translation chooses.
type Options struct {
	Ingress ingress.Options
	Gateway gateway.Options
	// CloseUnsound closes and reports the rules that no proxy would take. Whoever
	// hands the Snapshot to a proxy may leave it out, and build again with it when
	// the proxy refuses.
	CloseUnsound bool
}

// Result is what a Set comes to.
type Result struct {
	Snapshot *model.Snapshot
	// Reports are sorted, and include those of the Set.
	Reports []reason.Report
	// Status is what a controller would write into the Set's objects.
	Status gateway.Status
}

// The ports that Ingress hosts are served on.
var (
	httpID  = model.ListenerID{Port: 80}
	httpsID = model.ListenerID{Port: 443}
)

// Build makes the Snapshot for a Set.
func Build(set *source.Set, opts Options) Result {
	in, gw := ingress.Translate(set, opts.Ingress), gateway.Translate(set, opts.Gateway)
	b := builder{set: set, reports: slices.Concat(set.Reports, in.Reports, gw.Reports), made: map[source.Name]names{}, certified: map[model.ListenerID]map[string]string{}}
	refs := slices.Concat(in.Refs, gw.Refs)
	maps.Copy(in.Origins, gw.Origins)
	parts := model.Parts{Origins: printable(in.Origins)}
	parts.Config.Services = services(refs)
	parts.Endpoints = backend.Endpoints(set, refs)
	parts.Config.Listeners = b.listeners(in, gw)
	parts.Config.Hosts = b.hosts(in, gw)
	for _, name := range in.BackendSecrets {
		b.material(certificate{host: "*", secret: name})
	}
	parts.Config.Relays = b.relays(in, gw)
	if opts.CloseUnsound {
		b.closeUnsound(&parts)
		b.closeRelays(&parts)
	}
	parts.Secrets = b.secrets
	parts.Bundles = bundles(slices.Concat(in.Bundles, gw.Bundles))
	return Result{model.Freeze(parts), reason.Sorted(b.reports), gw.Status}
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
		out = append(out, ref.Model())
	}
	slices.SortStableFunc(out, func(a, b model.Service) int { return cmp.Compare(a.ID, b.ID) })
	return slices.CompactFunc(out, func(a, b model.Service) bool { return a.ID == b.ID })
}

// bundles are those that the dialects name, each once.
func bundles(all []model.Bundle) []model.Bundle {
	out := slices.SortedFunc(slices.Values(all), func(a, b model.Bundle) int { return cmp.Compare(a.Name, b.Name) })
	return slices.CompactFunc(out, func(a, b model.Bundle) bool { return a.Name == b.Name })
}

// builder gathers what the dialects ask for.
type builder struct {
	set     *source.Set
	reports []reason.Report
	secrets []model.Secret
	made    map[source.Name]names // of the secrets in secrets
	// certified are the Secrets by which the hosts of each listener are known.
	certified map[model.ListenerID]map[string]string
}

// ingressPorts are the listeners of the Ingresses' hosts.
func ingressPorts(in ingress.Result) []model.ListenerID {
	switch {
	case len(in.Certificates) > 0:
		return []model.ListenerID{httpID, httpsID}
	case len(in.Blocks) > 0:
		return []model.ListenerID{httpID}
	}
	return nil
}

// hosts merges the blocks of the dialects. One host of one listener has the
// Gateway API's block before Ingress's.
func (b *builder) hosts(in ingress.Result, gw gateway.Result) []model.Host {
	type place struct {
		listener model.ListenerID
		host     string
	}
	ports := ingressPorts(in)
	shared := map[place]bool{}
	passed := map[string]bool{} // hosts that pass TLS through
	for _, r := range in.Relays {
		passed[r.Name] = true
	}
	out := make([]model.Host, 0, len(in.Blocks)+len(gw.Hosts))
	for _, h := range gw.Hosts {
		host := model.Host{Name: h.Name, Listeners: []model.ListenerID{h.Listener}, Fallback: h.Fallback}
		if slices.Contains(ports, h.Listener) && coveredBy(in.Blocks, h.Name) {
			host.Fallback = true // the miss of one dialect is not that of the other
		}
		if len(h.Block.Rules) > 0 {
			host.Blocks = append(host.Blocks, h.Block)
		}
		if block, both := in.Blocks[h.Name]; both && slices.Contains(ports, h.Listener) {
			shared[place{h.Listener, h.Name}] = true
			b.sharing(h, block, in.Origins)
			host.Blocks = append(host.Blocks, block)
		}
		out = append(out, host)
	}
	for name, block := range in.Blocks {
		alone := slices.DeleteFunc(slices.Clone(ports), func(id model.ListenerID) bool {
			return shared[place{id, name}] || id == httpsID && passed[name]
		})
		if len(alone) > 0 {
			out = append(out, model.Host{Name: name, Listeners: alone, Blocks: []model.Block{block}})
		}
	}
	return out
}

// relays merges the relays of the dialects. What a Gateway has at a name, be it
// a host, comes before Ingress's.
func (b *builder) relays(in ingress.Result, gw gateway.Result) []model.Relay {
	out := slices.Clone(gw.Relays)
	taken := map[string]string{} // the rule that has a name of port 443
	for _, h := range gw.Hosts {
		if h.Listener == httpsID && len(h.Block.Rules) > 0 {
			taken[h.Name] = h.Block.Rules[0].ID
		}
	}
	for _, r := range gw.Relays {
		if r.Listener != httpsID {
			continue
		}
		taken[r.Name] = r.ID
		if block, both := in.Blocks[r.Name]; both && len(in.Certificates) > 0 && len(block.Rules) > 0 {
			b.relayShared(r.ID, block.Rules[0].ID, r.Name, in.Origins)
		}
	}
	for _, r := range in.Relays {
		if first := taken[r.Name]; first != "" {
			b.relayShared(first, r.ID, r.Name, in.Origins)
			continue
		}
		out = append(out, r)
	}
	return out
}

func (b *builder) relayShared(first, second, name string, origins map[string]reason.Origin) {
	b.report(reason.HostShared, origins[second], "host %s on port 443 belongs to %s first, %s", name, origins[first].Object(), origins[first].Place())
}

// coveredBy tells whether an Ingress has a less specific host.
func coveredBy(blocks map[string]model.Block, host string) bool {
	_, parent, _ := strings.Cut(host, ".")
	_, wildcard := blocks["*."+parent]
	_, all := blocks["*"]
	return wildcard && host != "*."+parent || all && host != "*"
}

// closeUnsound closes the rules that no proxy would take, so that one value of
// one tenant cannot keep everybody's Snapshot from being live. The translators
// report what they know to be wrong; this is for what they let through.
func (b *builder) closeUnsound(parts *model.Parts) {
	for i := range parts.Config.Hosts {
		for j := range parts.Config.Hosts[i].Blocks {
			rules := parts.Config.Hosts[i].Blocks[j].Rules
			for k := range rules {
				if err := rules[k].Validate(); err != nil {
					b.closeRule(&rules[k], parts.Origins, err)
				}
			}
		}
	}
}

func (b *builder) closeRelays(parts *model.Parts) {
	for i := range parts.Config.Relays {
		r := &parts.Config.Relays[i]
		if err := r.Validate(); err != nil {
			at := parts.Origins[r.ID]
			b.report(reason.RuleInvalid, at, "%v", err)
			delete(parts.Origins, r.ID)
			*r = model.Relay{
				ID: escaped(r.ID), Listener: r.Listener, Name: strings.ToLower(escaped(r.Name)), Terminate: r.Terminate,
				Respond: &model.Respond{Status: 503, Outcome: reason.Closed, Why: "the rule is not valid"},
			}
			parts.Origins[r.ID] = at
		}
	}
}

func (b *builder) closeRule(r *model.Rule, origins map[string]reason.Origin, err error) {
	at := origins[r.ID]
	b.report(reason.RuleInvalid, at, "%v", err)
	closed := model.Rule{
		ID: escaped(r.ID), Path: r.Path, When: r.When, Rank: r.Rank,
		Respond: &model.Respond{Status: 503, Outcome: reason.Closed, Why: "the rule is not valid"},
	}
	if closed.Path.Validate() != nil {
		closed.Path = model.PathMatch{} // what it would have matched is not known
	}
	if closed.When != nil && closed.When.Validate() != nil {
		closed.When = nil
	}
	delete(origins, r.ID)
	origins[closed.ID] = at
	*r = closed
}

// escaped writes control characters as escapes: a tombstone's names may have
// any.
func escaped(name string) string {
	if strings.IndexFunc(name, unicode.IsControl) < 0 {
		return name
	}
	return strings.Trim(strconv.Quote(name), `"`)
}

// sharing reports a host for which both dialects have rules.
func (b *builder) sharing(h gateway.Host, block model.Block, origins map[string]reason.Origin) {
	if len(h.Block.Rules) > 0 && len(block.Rules) > 0 {
		first := origins[h.Block.Rules[0].ID]
		b.report(reason.HostShared, origins[block.Rules[0].ID], "host %s on port %d belongs to %s first, %s", h.Name, h.Listener.Port, first.Object(), first.Place())
	}
}

// certificate is a listener's wish for a certificate.
type certificate struct {
	host   string
	secret source.Name
	policy *model.TLSPolicy
	origin reason.Origin
}

// listeners merges the listeners of the dialects, and finds their certificates.
func (b *builder) listeners(in ingress.Result, gw gateway.Result) []model.Listener {
	byID := map[model.ListenerID]*model.Listener{}
	for _, id := range ingressPorts(in) {
		byID[id] = &model.Listener{ID: id}
	}
	if https := byID[httpsID]; https != nil {
		https.Protocol = model.HTTPS
	}
	for _, l := range gw.Listeners {
		if byID[l.ID] == nil {
			byID[l.ID] = &l
			continue
		}
		b.share(byID[l.ID], l, gw)
	}
	for _, c := range gw.BackendCertificates {
		if byID[c.Listener].BackendCertificate != "" {
			b.identify(c)
		}
	}
	if byID[httpsID] == nil && len(in.Relays) > 0 {
		byID[httpsID] = &model.Listener{ID: httpsID, Protocol: model.TLS}
	}
	for _, c := range gw.Certificates {
		b.certify(byID[c.Listener], certificate{c.Host, c.Secret, c.Policy, c.Origin})
	}
	for _, c := range in.Certificates {
		b.certify(byID[httpsID], certificate{c.Host, c.Secret, nil, c.Origin})
	}
	if https := byID[httpsID]; https != nil {
		b.policies(https, in, gw)
	}
	out := make([]model.Listener, 0, len(byID))
	for _, l := range byID {
		out = append(out, *l)
	}
	return out
}

// share gives the port of the Ingresses what a Gateway asks of its clients. It
// does not get what the Gateway identifies itself by to backends: those of
// Ingresses are not to see it.
func (b *builder) share(port *model.Listener, l model.Listener, gw gateway.Result) {
	port.Names = l.Names
	if port.ClientAuth = l.ClientAuth; l.ClientAuth != nil {
		first := slices.IndexFunc(gw.Certificates, func(c gateway.Certificate) bool { return c.Listener == l.ID })
		at := gw.Certificates[first].Origin // over TLS there is one
		b.report(reason.HostShared, at, "a Gateway that shares port %d with Ingresses asks clients for certificates: those of the Ingresses need them too", l.ID.Port)
	}
	for _, c := range gw.BackendCertificates {
		if c.Listener == l.ID {
			b.report(reason.NotHonoured, c.Origin, "no client certificate is shown to backends on port %d, which is shared with Ingresses", l.ID.Port)
		}
	}
}

// identify makes the model's secret for what a listener identifies itself by.
func (b *builder) identify(c gateway.BackendCertificate) {
	if c.Secret.Name != "" {
		b.material(certificate{host: "*", secret: c.Secret, origin: c.Origin})
	} else if !slices.ContainsFunc(b.secrets, func(s model.Secret) bool { return s.Name == c.Name }) {
		b.secrets = append(b.secrets, model.Secret{Name: c.Name})
	}
}

// certify gives a listener a certificate, unless it has one for the host.
func (b *builder) certify(l *model.Listener, c certificate) {
	secret := escaped(c.secret.String())
	has, taken := b.certified[l.ID][c.host]
	switch {
	case !taken:
		b.material(c)
		b.shows(l, model.Certificate{Host: c.host, Secret: secret, Policy: c.policy})
	case has != secret:
		b.report(reason.CertificateConflict, c.origin, "host %s has its certificate from secret %s of a Gateway", c.host, has)
	}
}

// shows has a listener show a certificate for a host that it has none for.
func (b *builder) shows(l *model.Listener, c model.Certificate) {
	if b.certified[l.ID] == nil {
		b.certified[l.ID] = map[string]string{}
	}
	b.certified[l.ID][c.Host] = c.Secret
	l.Certificates = append(l.Certificates, c)
}

// material makes the model's secret for a certificate. One that is missing or
// broken stays without material, so that handshakes for its hosts are refused
// and nothing else.
func (b *builder) material(c certificate) {
	covered, seen := b.made[c.secret]
	if !seen {
		secret := model.Secret{Name: escaped(c.secret.String())}
		covered = namesOf(b.read(c, &secret))
		b.made[c.secret] = covered
		b.secrets = append(b.secrets, secret)
	}
	if covered != nil && c.host != "*" && !covered.cover(wildcardSample(c.host)) {
		b.report(reason.CertificateMismatch, c.origin, "the certificate in secret %s does not cover %s", c.secret, c.host)
	}
}

// names are those of a certificate: thousands of hosts may have one with
// thousands of names, and [x509.Certificate.VerifyHostname] tries them all.
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

// cover tells whether a host has one of the names, of which a wildcard stands for
// one label (RFC 9525 §6.3).
func (n names) cover(host string) bool {
	_, parent, _ := strings.Cut(host, ".")
	return n[host] || n["*."+parent]
}

// wildcardSample is a name that a host stands for.
func wildcardSample(host string) string {
	if suffix := strings.TrimLeft(host, "*"); suffix != host {
		return "sample" + suffix
	}
	return host
}

// read reads chain and key into secret. It returns nil, having reported why,
// when they are not to be had.
func (b *builder) read(c certificate, secret *model.Secret) *tls.Certificate {
	if c.secret.Name == "" {
		return nil // reported by the translator
	}
	object := b.set.Secrets.Get(c.secret.Namespace, c.secret.Name)
	if object == nil {
		b.report(reason.SecretNotFound, c.origin, "there is no Secret %s", c.secret)
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
