package standalone

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
)

// fallbackHost is the name in a certificate for which no host was given.
const fallbackHost = "localhost"

// wantedSecret is a TLS Secret that Ingresses or listeners name and that the user did not
// write.
type wantedSecret struct {
	name source.Name
	// hosts are the names for the certificate, sorted and without duplicates.
	hosts []string
	// asked are the places that name the Secret.
	asked []reason.Origin
}

// wantedSecrets lists, by name, the Secrets to make. A broken Ingress still gets its
// Secret: its hosts are closed, and must respond 503 over TLS, too. A Secret that the
// user wrote but that is broken is never made: only the user's own will do.
func wantedSecrets(set *source.Set) []wantedSecret {
	wanted := map[source.Name]wantedSecret{}
	shipped := shippedSecrets(set)
	want := func(name source.Name, hosts []string, at reason.Origin) {
		if name.Name == "" || shipped[name] {
			return
		}
		w := wanted[name]
		w.name = name
		w.hosts = append(w.hosts, hosts...)
		w.asked = append(w.asked, at)
		wanted[name] = w
	}
	for ingress := range set.Ingresses.All() {
		for i, entry := range ingress.Value.Spec.TLS {
			name := source.Name{Namespace: ingress.Name().Namespace, Name: entry.SecretName}
			want(name, certificateHosts(ingress.Value, entry), ingress.At(fmt.Sprintf("spec.tls[%d].secretName", i)))
		}
	}
	for gateway := range set.Gateways.All() {
		for i, l := range gateway.Value.Spec.Listeners {
			wantOfListener(want, l, gateway.Name().Namespace, fmt.Sprintf("spec.listeners[%d].tls.certificateRefs", i), gateway.At)
		}
	}
	for listeners := range set.ListenerSets.All() {
		for i, l := range listeners.Value.Spec.Listeners {
			wantOfListener(want, gatewayv1.Listener(l), listeners.Name().Namespace, fmt.Sprintf("spec.listeners[%d].tls.certificateRefs", i), listeners.At)
		}
	}
	out := slices.SortedFunc(maps.Values(wanted), func(a, b wantedSecret) int { return a.name.Compare(b.name) })
	for i := range out {
		slices.Sort(out[i].hosts)
		out[i].hosts = slices.Compact(out[i].hosts)
	}
	return out
}

// wantOfListener calls want for the Secrets that a Gateway API listener names in its own
// namespace. Secrets of other namespaces are not made: they need a ReferenceGrant from
// their owner.
func wantOfListener(want func(source.Name, []string, reason.Origin), l gatewayv1.Listener, namespace, field string, at func(string) reason.Origin) {
	if l.TLS == nil {
		return
	}
	host := fallbackHost
	if l.Hostname != nil && isASCIIName(string(*l.Hostname)) {
		host = string(*l.Hostname)
	}
	for i, ref := range l.TLS.CertificateRefs {
		foreign := ref.Kind != nil && *ref.Kind != "Secret" || ref.Group != nil && *ref.Group != "" || ref.Namespace != nil && string(*ref.Namespace) != namespace
		if !foreign {
			want(source.Name{Namespace: namespace, Name: string(ref.Name)}, []string{host}, at(fmt.Sprintf("%s[%d]", field, i)))
		}
	}
}

// certificateHosts returns the hosts of a tls entry, or those of all rules if it has
// none.
func certificateHosts(ingress *networkingv1.Ingress, entry networkingv1.IngressTLS) []string {
	hosts := slices.Clone(entry.Hosts)
	if len(hosts) == 0 {
		for _, rule := range ingress.Spec.Rules {
			hosts = append(hosts, rule.Host)
		}
	}
	hosts = slices.DeleteFunc(hosts, func(h string) bool { return !isASCIIName(h) })
	if len(hosts) == 0 {
		return []string{fallbackHost}
	}
	return hosts
}

// isASCIIName reports whether a certificate can hold the name. Whether the name is valid
// is checked and reported elsewhere.
func isASCIIName(host string) bool {
	return host != "" && !strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r >= 0x7F })
}

// issuer makes the Secrets. It keeps each one for as long as it is wanted for the same
// hosts, so that a reload does not change the certificates that clients see. It is used
// by one goroutine at a time.
type issuer struct {
	authority *authority
	issued    map[source.Name]issuedSecret
}

type issuedSecret struct {
	hosts   []string
	until   time.Time
	content map[string][]byte
}

// secrets returns the Secrets that set lacks, with a Report for each place that names
// one. If an unreadable file may hold a Secret, it is not made, but one made before is
// kept.
func (s *issuer) secrets(set *source.Set, now time.Time) ([]*source.Object[corev1.Secret], []reason.Report) {
	var objects []*source.Object[corev1.Secret]
	var reports []reason.Report
	kept := map[source.Name]issuedSecret{}
	unread := &unreadTexts{places: unreadPlaces(set.Reports), texts: map[string][]byte{}}
	for _, wanted := range wantedSecrets(set) {
		if at, found := unread.mayHold(wanted.name); found && !s.has(wanted, now) {
			for _, report := range reportAll(wanted, reason.SecretNotFound, fmt.Sprintf(
				"Secret %s may stand in %s, which cannot be read, so no certificate is made for it", wanted.name, at.Place())) {
				reports = append(reports, report.WithFix("mend the error reported there"))
			}
			continue
		}
		secret, err := s.secret(wanted, now)
		if err != nil {
			reports = append(reports, reportAll(wanted, reason.SecretInvalid, fmt.Sprintf("no certificate could be made: %v", err))...)
			continue
		}
		kept[wanted.name] = secret
		objects = append(objects, secretObject(wanted, secret.content))
		reports = append(reports, reportAll(wanted, reason.CertificateGenerated, fmt.Sprintf(
			"Secret %s is not here; made a certificate for %s", wanted.name, strings.Join(wanted.hosts, ", ")))...)
	}
	s.issued = kept
	return objects, reports
}

func reportAll(wanted wantedSecret, code reason.Code, message string) []reason.Report {
	var out []reason.Report
	for _, at := range wanted.asked {
		out = append(out, reason.New(code, at, message))
	}
	return out
}

// has reports whether the Secret made before is still good.
func (s *issuer) has(wanted wantedSecret, now time.Time) bool {
	old, found := s.issued[wanted.name]
	return found && slices.Equal(old.hosts, wanted.hosts) && now.Before(old.until)
}

func (s *issuer) secret(wanted wantedSecret, now time.Time) (issuedSecret, error) {
	if s.has(wanted, now) {
		return s.issued[wanted.name], nil
	}
	cert, key, err := s.authority.issue(wanted.hosts, now)
	if err != nil {
		return issuedSecret{}, err
	}
	return issuedSecret{
		hosts: wanted.hosts,
		until: now.Add(leafLifetime - renewBefore),
		content: map[string][]byte{
			corev1.TLSCertKey:              cert,
			corev1.TLSPrivateKeyKey:        key,
			corev1.ServiceAccountRootCAKey: s.authority.certPEM,
		},
	}, nil
}

// identities returns the names of the Secrets made so far, each with a stable stand-in
// for its content, which is derived from the hosts.
func (s *issuer) identities() map[string]string {
	out := make(map[string]string, len(s.issued))
	for name, secret := range s.issued {
		sum := sha256.Sum256([]byte(strings.Join(secret.hosts, ",")))
		out[name.String()] = "generated-" + hex.EncodeToString(sum[:])
	}
	return out
}

func secretObject(wanted wantedSecret, content map[string][]byte) *source.Object[corev1.Secret] {
	return &source.Object[corev1.Secret]{
		Value: &corev1.Secret{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
			ObjectMeta: metav1.ObjectMeta{
				Namespace: wanted.name.Namespace, Name: wanted.name.Name,
				Labels: map[string]string{"app.kubernetes.io/managed-by": managedBy},
			},
			Type: corev1.SecretTypeTLS,
			Data: content,
		},
		Origin: derived(wanted.asked[0], "Secret", wanted.name.Namespace, wanted.name.Name),
	}
}
