package identity

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
)

// Peer is the identity of the other end of a connection, from a verified certificate. It
// is read-only; a nil Peer showed no certificate.
type Peer struct {
	// ID is the SPIFFE ID; zero if there is none in the form of Kubernetes workloads. A
	// certificate with several URIs has none (X509-SVID §2).
	ID ID
	// URIs and DNSNames are the subject alternative names.
	URIs, DNSNames []string
	// Subject is the distinguished name (RFC 2253), and Hash the SHA-256 of the
	// certificate in hex.
	Subject, Hash string
}

// PeerOf returns the holder of a verified certificate; nil if cert is nil.
func PeerOf(cert *x509.Certificate) *Peer {
	if cert == nil {
		return nil
	}
	hash := sha256.Sum256(cert.Raw)
	p := &Peer{DNSNames: cert.DNSNames, Subject: cert.Subject.String(), Hash: hex.EncodeToString(hash[:])}
	for _, uri := range cert.URIs {
		p.URIs = append(p.URIs, uri.String())
	}
	if len(p.URIs) == 1 {
		p.ID, _ = Parse(p.URIs[0])
	}
	return p
}

// Name returns the peer's name for logs: its first URI, which is its SPIFFE ID if it has
// one, or another of its names. It is empty if there was no certificate.
func (p *Peer) Name() string {
	switch {
	case p == nil:
		return ""
	case len(p.URIs) > 0:
		return p.URIs[0]
	case len(p.DNSNames) > 0:
		return p.DNSNames[0]
	}
	return p.Subject
}
