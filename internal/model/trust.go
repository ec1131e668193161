package model

import "fmt"

// Bundle is a certificate authority bundle. It is not secret, but it changes together
// with the Secrets that its authorities vouch for.
type Bundle struct {
	// Name is the kind, namespace and name of the resource: configmap/shop/ca.
	Name string `cbor:"1,keyasint" json:"name"`
	// Digest is the SHA-256 of PEM, in hex.
	Digest string `cbor:"2,keyasint" json:"digest"`
	// PEM is empty in a Snapshot that was read from text, and where the bundle is missing
	// or broken: certificates that need it are then refused.
	PEM []byte `cbor:"3,keyasint,omitempty" json:"-"`
}

// ClientAuthMode says how clients without a verified certificate are treated.
type ClientAuthMode uint8

const (
	// RequireCertificate refuses the handshake unless the client's certificate verifies.
	RequireCertificate ClientAuthMode = iota
	// RequestCertificate asks for a certificate, and accepts clients without one, or with
	// one that does not verify.
	RequestCertificate
)

// ClientAuth asks the clients of a listener for certificates.
type ClientAuth struct {
	// Bundles are the names of the Bundles that hold the trusted authorities.
	Bundles []string       `cbor:"1,keyasint" json:"bundles"`
	Mode    ClientAuthMode `cbor:"2,keyasint,omitempty" json:"mode,omitempty"`
}

var clientAuthNames = []string{RequireCertificate: "require", RequestCertificate: "request"}

// MarshalText returns the mode's word.
func (m ClientAuthMode) MarshalText() ([]byte, error) { return []byte(clientAuthNames[m]), nil }

func (a *ClientAuth) words() []string {
	if a == nil {
		return nil
	}
	words := []string{"client-auth=" + clientAuthNames[a.Mode]}
	for _, name := range a.Bundles {
		words = append(words, "client-ca="+name)
	}
	return words
}

// listenerOptions read the options of a listener.
var listenerOptions = map[string]func(*Listener, string) error{
	"address":             func(l *Listener, v string) error { l.Address = v; return nil },
	"name":                func(l *Listener, v string) error { l.Names = append(l.Names, v); return nil },
	"backend-certificate": func(l *Listener, v string) error { l.BackendCertificate = v; return nil },
	"deny":                func(l *Listener, v string) error { return accessOption("deny", &l.Access, v) },
	"allow":               func(l *Listener, v string) error { return accessOption("allow", &l.Access, v) },
	"client-auth": func(l *Listener, v string) error {
		mode, err := indexOf[ClientAuthMode](clientAuthNames, v, "client-auth")
		l.ClientAuth = &ClientAuth{Mode: mode}
		return err
	},
	"client-ca": func(l *Listener, v string) error {
		return setOn(l.ClientAuth, func(a *ClientAuth) { a.Bundles = append(a.Bundles, v) })
	},
}

func (p *textParser) bundle(w []string) error {
	p.parts.Bundles = append(p.parts.Bundles, Bundle{Name: w[0], Digest: w[1]})
	return nil
}

func (v *validator) clientAuth(l Listener) {
	v.check(l.BackendCertificate == "" || v.secrets[l.BackendCertificate], "listener %s: no secret %s", l.ID, l.BackendCertificate)
	if l.ClientAuth == nil {
		return
	}
	v.check(l.Protocol.named(), "listener %s: clients identify themselves over TLS only", l.ID)
	v.check(l.ClientAuth.Mode <= RequestCertificate, "listener %s: unknown mode %d", l.ID, l.ClientAuth.Mode)
	v.check(len(l.ClientAuth.Bundles) > 0, "listener %s: no authority to verify clients by", l.ID)
	for _, name := range l.ClientAuth.Bundles {
		v.check(v.bundles[name], "listener %s: no bundle %s", l.ID, name)
	}
}

func (b *Bundle) setDigest() {
	if len(b.PEM) > 0 {
		b.Digest = digest(b.PEM)
	}
}

func listenerOption(l *Listener, key, value string) error {
	read, known := listenerOptions[key]
	if !known {
		return fmt.Errorf("unknown option %q of a listener", key)
	}
	if err := read(l, value); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}
