package backend

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/source"
	"windrose.dev/windrose/internal/translate/secret"
)

// Bundle reads a certificate authority bundle from ca.crt of a ConfigMap or Secret. Every
// certificate must be well-formed: a part of a bundle would be another bundle.
func Bundle(set *source.Set, secrets *secret.Reader, kind string, name source.Name) (model.Bundle, error) {
	out := model.Bundle{Name: strings.ToLower(kind) + "/" + name.String()}
	data, found := authorities(set, secrets, kind, name)
	if !found {
		return out, fmt.Errorf("there is no %s %s", kind, name)
	}
	if err := checkBundle(data); err != nil {
		return out, fmt.Errorf("%s of %s %s %w", corev1.ServiceAccountRootCAKey, kind, name, err)
	}
	out.PEM = data
	return out, nil
}

func authorities(set *source.Set, secrets *secret.Reader, kind string, name source.Name) (data []byte, found bool) {
	switch kind {
	case "ConfigMap":
		if object := set.ConfigMaps.Get(name.Namespace, name.Name); object != nil {
			if text, has := object.Value.Data[corev1.ServiceAccountRootCAKey]; has {
				return []byte(text), true
			}
			return object.Value.BinaryData[corev1.ServiceAccountRootCAKey], true
		}
	case "Secret":
		return secrets.Authorities(name)
	}
	return nil, false
}

var errNoCertificate = errors.New("holds no PEM certificate")

func checkBundle(data []byte) error {
	any := false
	for rest := data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return fmt.Errorf("holds a %s", strings.ToLower(block.Type))
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return fmt.Errorf("holds a certificate that cannot be read: %w", err)
		}
		any = true
	}
	if !any {
		return errNoCertificate
	}
	return nil
}
