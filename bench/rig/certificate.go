package rig

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"slices"
	"time"
)

// Certificate is a self-signed certificate, ECDSA P-256, as PEM and in files.
type Certificate struct {
	Chain, Key []byte
	// ChainFile and KeyFile hold the parts; BundleFile holds both, as HAProxy wants.
	ChainFile, KeyFile, BundleFile string
}

// NewCertificate makes a certificate for the names, localhost and 127.0.0.1.
func (r *Rig) NewCertificate(names ...string) (Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Certificate{}, fmt.Errorf("make a key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "windrose rig"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		DNSNames: append([]string{"localhost"}, names...), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return Certificate{}, fmt.Errorf("make a certificate: %w", err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Certificate{}, fmt.Errorf("write a key: %w", err)
	}
	c := Certificate{
		Chain: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		Key:   pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	}
	return c, r.write(&c)
}

func (r *Rig) write(c *Certificate) error {
	var errs [3]error
	name := r.unique("certificate")
	c.ChainFile, errs[0] = r.File(name+".crt", c.Chain)
	c.KeyFile, errs[1] = r.File(name+".key", c.Key)
	c.BundleFile, errs[2] = r.File(name+".pem", slices.Concat(c.Chain, c.Key))
	return errors.Join(errs[:]...)
}
