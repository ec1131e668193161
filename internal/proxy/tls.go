package proxy

import (
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy/upstream"
	"windrose.dev/windrose/internal/reason"
)

// tlsListener is the TLS side of one listener in one Generation.
type tlsListener struct {
	config *tls.Config
	// opaque is for relays, which agree on no protocol since nobody knows what the
	// backend speaks.
	opaque *tls.Config
	byName map[string]*tls.Certificate
	// refused is why all handshakes are; nil does not refuse them.
	refused error
	// clients is what is asked of clients, as text; empty is nothing.
	clients string
}

// plainText stands for listeners without TLS.
var plainText = &tlsListener{}

// outdated tells whether clients that were let in on these terms have to leave,
// where now are those of the listener, nil for none.
func (t *tlsListener) outdated(now *tlsListener) bool {
	switch {
	case now == nil:
		return t.clients != ""
	case t == plainText:
		return true
	}
	return t.clients != now.clients
}

// compileTLS makes the TLS side of every listener of HTTPS, or of TLS.
func (p *Proxy) compileTLS(s *model.Snapshot) (map[model.ListenerID]*tlsListener, []reason.Report) {
	c := tlsCompiler{
		certs: &p.certs, standard: p.cfg.Limits.TLS, bundles: upstream.BundlesOf(s),
		secrets: make(map[string]*model.Secret, len(s.Secrets)), used: map[string]bool{},
	}
	for i := range s.Secrets {
		c.secrets[s.Secrets[i].Name] = &s.Secrets[i]
	}
	out := map[model.ListenerID]*tlsListener{}
	for i := range s.Config.Listeners {
		if l := &s.Config.Listeners[i]; l.Protocol == model.HTTPS || l.Protocol == model.TLS {
			t, users := c.listener(l)
			p.tickets.serve(l.ID, users)
			out[l.ID] = t
		}
	}
	p.certs.retain(c.used)
	p.tickets.retain(func(id model.ListenerID) bool { return out[id] != nil })
	return out, c.reports
}

// tlsCompiler is the state of one compileTLS.
type tlsCompiler struct {
	certs    *certificateCache
	secrets  map[string]*model.Secret
	bundles  upstream.Bundles
	standard model.TLSPolicy
	used     map[string]bool // digests of secrets
	reports  []reason.Report
}

// listener makes one, and returns what needs ticket keys.
func (c *tlsCompiler) listener(l *model.Listener) (*tlsListener, []ticketUser) {
	t := &tlsListener{byName: make(map[string]*tls.Certificate, len(l.Certificates))}
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
func (c *tlsCompiler) certificates(l *model.Listener, t *tlsListener) string {
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
func (t *tlsListener) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
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

const (
	// ticketRotation is how long one master key encrypts session tickets.
	ticketRotation = 8 * time.Hour
	// ticketMasters is how many master keys can still decrypt them.
	ticketMasters = 3
)

// ticketKeys derives the keys of TLS session tickets from rotating masters and
// from the names and certificates of a listener, and the TLS policy of a name: a
// session does not outlive what it was made with.
type ticketKeys struct {
	mu      sync.Mutex
	masters [][]byte // newest first
	serving map[model.ListenerID][]ticketUser
}

type ticketUser struct {
	config *tls.Config
	policy string
}

func newTicketKeys() *ticketKeys {
	k := &ticketKeys{serving: map[model.ListenerID][]ticketUser{}}
	k.rotate()
	return k
}

// serve sets the keys of configs now and at each rotation. They replace those
// that the listener had before.
func (k *ticketKeys) serve(id model.ListenerID, users []ticketUser) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.serving[id] = users
	k.set(users)
}

// retain forgets the listeners that are not named.
func (k *ticketKeys) retain(named func(model.ListenerID) bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	maps.DeleteFunc(k.serving, func(id model.ListenerID, _ []ticketUser) bool { return !named(id) })
}

func (k *ticketKeys) set(users []ticketUser) {
	for _, user := range users {
		user.config.SetSessionTicketKeys(k.of(user.policy))
	}
}

// of derives the keys of one policy.
func (k *ticketKeys) of(policy string) [][32]byte {
	keys := make([][32]byte, len(k.masters))
	for i, master := range k.masters {
		key, err := hkdf.Key(sha256.New, master, nil, "windrose session tickets\n"+policy, 32)
		if err != nil {
			panic(err) // the lengths are constants
		}
		keys[i] = [32]byte(key)
	}
	return keys
}

func (k *ticketKeys) rotate() {
	master := make([]byte, 32)
	rand.Read(master)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.masters = append([][]byte{master}, k.masters[:min(len(k.masters), ticketMasters-1)]...)
	for _, users := range k.serving {
		k.set(users)
	}
}

func (k *ticketKeys) run(ctx context.Context) error {
	tick := time.NewTicker(ticketRotation)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			k.rotate()
		}
	}
}
