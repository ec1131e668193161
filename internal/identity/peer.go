package identity

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
)

// Peer is who the other end of a connection has shown to be, by a certificate that was
// verified. It is read-only; nil has shown nothing.
type Peer struct {
	// ID is its SPIFFE ID; zero where it has none of the form of Kubernetes workloads.
	// A certificate with several URIs has none (X509-SVID §2).
	ID ID
	// URIs and DNSNames are its subject alternative names.
	URIs, DNSNames []string
	// Subject is its distinguished name (RFC 2253), and Hash the SHA-256 of the
	// certificate in hex.
	Subject, Hash string
}

// PeerOf is the holder of a certificate that was verified, or nil where there is none.
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

// Name is what records call the peer: its first URI, which is its SPIFFE ID if it has
// one, or another name of it. It is empty where nothing was shown.
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
