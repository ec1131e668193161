package standalone

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

const (
	caLifetime   = 10 * 365 * 24 * time.Hour
	leafLifetime = 90 * 24 * time.Hour
	// renewBefore is how long before it expires a certificate is replaced.
	renewBefore = leafLifetime / 3
	// backdate allows for clients whose clocks are behind.
	backdate = time.Hour

	caCertFile = "ca.crt"
	caKeyFile  = "ca.key"
)

// authority signs the certificates of one run.
type authority struct {
	cert    *x509.Certificate
	key     crypto.Signer
	certPEM []byte
}

// newAuthority makes a new authority, which no client trusts yet.
func newAuthority() (*authority, error) {
	certPEM, keyPEM, err := makeAuthority(time.Now())
	if err != nil {
		return nil, err
	}
	return parseAuthority(certPEM, keyPEM)
}

// loadAuthority reads the authority in dir, or makes one and saves it there, so that
// clients need to trust it only once. An authority that expires soon is replaced.
func loadAuthority(dir string) (*authority, error) {
	certPEM, err := os.ReadFile(filepath.Join(dir, caCertFile))
	if errors.Is(err, fs.ErrNotExist) {
		return saveAuthority(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("load the certificate authority: %w", err)
	}
	keyPEM, err := os.ReadFile(filepath.Join(dir, caKeyFile))
	if err != nil {
		return nil, fmt.Errorf("load the certificate authority: %w", err)
	}
	loaded, err := parseAuthority(certPEM, keyPEM)
	if err == nil && time.Now().Add(leafLifetime).After(loaded.cert.NotAfter) {
		return saveAuthority(dir)
	}
	return loaded, err
}

// saveAuthority writes the key first: a key without a certificate is replaced by a new
// authority, but a certificate without its key could not be repaired.
func saveAuthority(dir string) (*authority, error) {
	certPEM, keyPEM, err := makeAuthority(time.Now())
	if err != nil {
		return nil, err
	}
	err = errors.Join(
		os.MkdirAll(dir, 0o700),
		replaceFile(filepath.Join(dir, caKeyFile), keyPEM),
		replaceFile(filepath.Join(dir, caCertFile), certPEM),
	)
	if err != nil {
		return nil, fmt.Errorf("save the certificate authority: %w", err)
	}
	return parseAuthority(certPEM, keyPEM)
}

// replaceFile writes a file that only its owner can read. It replaces the old file
// atomically.
func replaceFile(path string, content []byte) error {
	temporary, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name()) // fails after the rename, which is fine
	_, err = temporary.Write(content)
	if err := errors.Join(err, temporary.Close()); err != nil {
		return err
	}
	return os.Rename(temporary.Name(), path)
}

func parseAuthority(certPEM, keyPEM []byte) (*authority, error) {
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("read the certificate authority: %w", err)
	}
	key, ok := pair.PrivateKey.(crypto.Signer)
	if !ok || !pair.Leaf.IsCA {
		return nil, errors.New("read the certificate authority: its certificate may not sign others")
	}
	return &authority{cert: pair.Leaf, key: key, certPEM: certPEM}, nil
}

func makeAuthority(now time.Time) (certPEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make a key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{Organization: []string{"Windrose"}, CommonName: "Windrose local CA"},
		NotBefore:    now.Add(-backdate), NotAfter: now.Add(caLifetime),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	return sign(template, template, key, key)
}

// issue makes a server certificate for the names and its key, both as PEM.
func (a *authority) issue(names []string, now time.Time) (certPEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make a key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{Organization: []string{"Windrose"}},
		NotBefore:    now.Add(-backdate), NotAfter: now.Add(leafLifetime),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    names, BasicConstraintsValid: true,
	}
	return sign(template, a.cert, key, a.key)
}

func sign(template, parent *x509.Certificate, key *ecdsa.PrivateKey, signer crypto.Signer) (certPEM, keyPEM []byte, err error) {
	cert, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return nil, nil, fmt.Errorf("sign a certificate: %w", err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("encode a key: %w", err)
	}
	certPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	keyPEM = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	return certPEM, keyPEM, nil
}

// serial returns a random positive number of 127 bits, which is unique in practice.
func serial() *big.Int {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[0] &= 0x7F
	return new(big.Int).SetBytes(b[:])
}
