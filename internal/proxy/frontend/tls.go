package frontend

import (
	"context"
	"crypto/tls"
	"fmt"
	"slices"
	"strings"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy/upstream"
	"windrose.dev/windrose/internal/reason"
)

// ListenerTLS is the TLS of one listener in one Generation.
type ListenerTLS struct {
	config *tls.Config
	// opaque is for L4 routes, which agree on no protocol since nobody knows what the
	// backend speaks.
	opaque *tls.Config
	byName map[string]*tls.Certificate
	// refused is why all handshakes are; nil does not refuse them.
	refused error
	// clients is what is asked of clients, as text; empty is nothing.
	clients string
}

// TLSCompiler makes the TLS of listeners, and keeps what outlives Generations: parsed
// certificates and the keys of session tickets. One goroutine at a time calls Compile.
type TLSCompiler struct {
	// Default is the TLS where a server name has none of its own.
	Default model.TLSPolicy

	certs   certificateCache
	tickets *ticketKeys
}

// NewTLSCompiler makes a TLSCompiler. Run rotates its keys.
func NewTLSCompiler(standard model.TLSPolicy) *TLSCompiler {
	return &TLSCompiler{Default: standard, tickets: newTicketKeys()}
}

// Run rotates the keys of session tickets until ctx ends.
func (c *TLSCompiler) Run(ctx context.Context) error { return c.tickets.run(ctx) }

// Compile makes the TLS of every listener of HTTPS, or of TLS. What cannot be used is
// reported, and handshakes that need it are refused.
func (c *TLSCompiler) Compile(s *model.Snapshot) (map[model.ListenerID]*ListenerTLS, []reason.Report) {
	one := tlsCompiler{
		certs: &c.certs, standard: c.Default, bundles: upstream.BundlesOf(s),
		secrets: make(map[string]*model.Secret, len(s.Secrets)), used: map[string]bool{},
	}
	for i := range s.Secrets {
		one.secrets[s.Secrets[i].Name] = &s.Secrets[i]
	}
	out := map[model.ListenerID]*ListenerTLS{}
	for i := range s.Config.Listeners {
		if l := &s.Config.Listeners[i]; l.Protocol == model.HTTPS || l.Protocol == model.TLS {
			t, users := one.listener(l)
			c.tickets.serve(l.ID, users)
			out[l.ID] = t
		}
	}
	c.certs.retain(one.used)
	c.tickets.retain(func(id model.ListenerID) bool { return out[id] != nil })
	return out, one.reports
}

// tlsCompiler is the state of one Compile.
type tlsCompiler struct {
	certs    *certificateCache
	secrets  map[string]*model.Secret
	bundles  upstream.Bundles
	standard model.TLSPolicy
	used     map[string]bool // digests of secrets
	reports  []reason.Report
}

// listener makes one, and returns what needs ticket keys.
func (c *tlsCompiler) listener(l *model.Listener) (*ListenerTLS, []ticketUser) {
	t := &ListenerTLS{byName: make(map[string]*tls.Certificate, len(l.Certificates))}
	sessions := c.certificates(l, t)
	t.config = &tls.Config{
		NextProtos:                  []string{"h2", "http/1.1"},
		GetCertificate:              t.certificate,
		DynamicRecordSizingDisabled: true,
	}
	if t.clients, t.refused = askClients(t.config, l.ClientAuth, c.bundles); t.refused != nil {
		c.reports = append(c.reports, clientsRefused(*l, t.refused))
	}
	sessions += t.clients
	t.opaque = t.config.Clone()
	t.opaque.NextProtos = nil
	return t, slices.Concat(t.agree(t.config, c.standard, l.Certificates, sessions), t.agree(t.opaque, c.standard, l.Certificates, sessions))
}

// certificates finds those of a listener, and returns a text that tells them apart
// from others. One that cannot be used is reported, and handshakes for its names are
// refused.
func (c *tlsCompiler) certificates(l *model.Listener, t *ListenerTLS) string {
	var all strings.Builder
	for _, want := range l.Certificates {
		secret := c.secrets[want.Secret]
		switch {
		case secret == nil:
			c.reports = append(c.reports, reason.New(reason.SecretNotFound, secretOrigin(want.Secret), "no such secret"))
			continue
		case secret.Digest == "":
			continue // whoever made the snapshot has reported why
		}
		c.used[secret.Digest] = true
		cert, err := c.certs.get(secret)
		if err != nil {
			c.reports = append(c.reports, reason.New(reason.SecretInvalid, secretOrigin(want.Secret), err.Error()))
			continue
		}
		t.byName[want.Host] = cert
		fmt.Fprintf(&all, "%s %s\n", want.Host, secret.Digest)
	}
	return all.String()
}

func secretOrigin(name string) reason.Origin {
	namespace, name, _ := strings.Cut(name, "/")
	return reason.Origin{Kind: "Secret", Namespace: namespace, Name: name}
}

// certificate chooses by server name. Without one crypto/tls refuses the
// handshake with unrecognized_name.
func (t *ListenerTLS) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	return forName(t.byName, hello.ServerName), nil
}

// certificateCache keeps parsed certificates by digest, over Generations.
type certificateCache struct{ byDigest map[string]*tls.Certificate }

// get is called by one Apply at a time.
func (c *certificateCache) get(s *model.Secret) (*tls.Certificate, error) {
	if cert := c.byDigest[s.Digest]; cert != nil {
		return cert, nil
	}
	if len(s.Key) == 0 {
		return nil, fmt.Errorf("the snapshot has no key for it")
	}
	cert, err := tls.X509KeyPair(s.Chain, s.Key)
	if err != nil {
		return nil, fmt.Errorf("not a certificate and its key: %w", err)
	}
	if c.byDigest == nil {
		c.byDigest = map[string]*tls.Certificate{}
	}
	c.byDigest[s.Digest] = &cert
	return &cert, nil
}

func (c *certificateCache) retain(used map[string]bool) {
	for digest := range c.byDigest {
		if !used[digest] {
			delete(c.byDigest, digest)
		}
	}
}
