package secret

import (
	"crypto/tls"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
)

// Use is what a Secret is read for.
type Use uint8

const (
	// ServerCertificate: tls.crt and tls.key are shown to clients, for hosts that the
	// certificate has to cover.
	ServerCertificate Use = iota
	// ClientCertificate: tls.crt and tls.key are shown to backends.
	ClientCertificate
	// Authorities: ca.crt says who vouches for others.
	Authorities
)

// Reader reads the Secrets of a Set. One goroutine uses it.
type Reader struct {
	all   source.Index[corev1.Secret]
	reads Reads
	pairs map[source.Name]*Pair
}

// Apart returns the Set without its Secrets, and what reads them.
func Apart(set *source.Set) (*source.Set, *Reader) {
	without := *set
	without.Secrets = source.Index[corev1.Secret]{}
	return &without, &Reader{all: set.Secrets, reads: Reads{}, pairs: map[source.Name]*Pair{}}
}

// Reads are those until now.
func (r *Reader) Reads() Reads { return r.reads }

// Pair reads the certificate and key of a Secret; nil is that there is no such Secret.
func (r *Reader) Pair(name source.Name, use Use) *Pair {
	object := r.read(name, use)
	if object == nil {
		return nil
	}
	if r.pairs[name] == nil {
		r.pairs[name] = pairOf(object)
	}
	return r.pairs[name]
}

// Authorities reads ca.crt of a Secret. found reports whether there is the Secret.
func (r *Reader) Authorities(name source.Name) (pem []byte, found bool) {
	object := r.read(name, Authorities)
	if object == nil {
		return nil, false
	}
	return authorities(object), true
}

func (r *Reader) read(name source.Name, use Use) *source.Object[corev1.Secret] {
	r.reads[name] |= 1 << use
	return r.all.Get(name.Namespace, name.Name)
}

// Pair is what a Secret has of a certificate chain and its key.
type Pair struct {
	// Chain and Key are PEM, as they are written.
	Chain, Key []byte
	// Err is why they are no certificate with its key.
	Err error
	// Origin is the place of the Secret's data.
	Origin reason.Origin

	names names
}

func pairOf(object *source.Object[corev1.Secret]) *Pair {
	p := &Pair{Chain: object.Value.Data[corev1.TLSCertKey], Key: object.Value.Data[corev1.TLSPrivateKeyKey], Origin: object.At("data")}
	cert, err := tls.X509KeyPair(p.Chain, p.Key)
	if p.Err = err; err == nil {
		p.names = namesOf(cert.Leaf.DNSNames)
	}
	return p
}

// Covers reports whether the certificate is one for a host.
func (p *Pair) Covers(host string) bool { return p.names.cover(host) }

// names are those of a certificate: thousands of hosts may have one with
// thousands of names, and [x509.Certificate.VerifyHostname] tries them all.
type names map[string]bool

func namesOf(all []string) names {
	out := names{}
	for _, name := range all {
		out[strings.ToLower(name)] = true
	}
	return out
}

// cover reports whether a host has one of the names, of which a wildcard stands for
// one label (RFC 9525 §6.3).
func (n names) cover(host string) bool {
	_, parent, _ := strings.Cut(host, ".")
	return n[host] || n["*."+parent]
}

func authorities(object *source.Object[corev1.Secret]) []byte {
	return object.Value.Data[corev1.ServiceAccountRootCAKey]
}
