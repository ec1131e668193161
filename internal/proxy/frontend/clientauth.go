package frontend

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
	"time"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy/upstream"
	"windrose.dev/windrose/internal/reason"
)

// askClients has a listener's clients identify themselves. It returns what is
// asked of them as a text that differs where the policy does: sessions made
// under one policy are not resumed under another. With an error handshakes are
// refused: what cannot be verified lets nobody in.
func askClients(config *tls.Config, auth *model.ClientAuth, bundles upstream.Bundles) (policy string, err error) {
	if auth == nil {
		return "", nil
	}
	mode, _ := auth.Mode.MarshalText()
	policy = "clients " + string(mode) + "\n"
	pool := x509.NewCertPool()
	for _, name := range auth.Bundles {
		bundle, err := bundles.Get(name)
		if err != nil {
			refuse(config, err)
			return policy + "refused\n", err
		}
		if !pool.AppendCertsFromPEM(bundle.PEM) {
			err := fmt.Errorf("bundle %s holds no certificate", name)
			refuse(config, err)
			return policy + "refused\n", err
		}
		policy += name + " " + bundle.Digest + "\n"
	}
	config.ClientCAs = pool
	config.ClientAuth = tls.RequireAndVerifyClientCert
	if auth.Mode == model.RequestCertificate {
		// crypto/tls would refuse a certificate that does not verify: whether
		// it does is found out when it is asked for, see VerifiedClient.
		config.ClientAuth = tls.RequestClientCert
	}
	return policy, nil
}

// refuse has a listener refuse all handshakes.
func refuse(config *tls.Config, why error) {
	config.ClientAuth = tls.RequireAndVerifyClientCert
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, why }
}

func clientsRefused(l model.Listener, why error) reason.Report {
	at := reason.Origin{}
	if namespace, name, found := strings.Cut(l.ID.Gateway, "/"); found {
		at = reason.Origin{Kind: "Gateway", Namespace: namespace, Name: name}
	}
	return reason.New(reason.BundleInvalid, at, fmt.Sprintf("clients of port %d cannot be verified, so their handshakes are refused: %v", l.ID.Port, why))
}

// VerifiedClient is the certificate of a client, if one was presented that the
// listener's authorities vouch for now.
func VerifiedClient(config *tls.Config, state tls.ConnectionState) *x509.Certificate {
	switch {
	case len(state.PeerCertificates) == 0:
		return nil
	case len(state.VerifiedChains) > 0:
		return state.PeerCertificates[0]
	case config.ClientCAs == nil:
		return nil
	}
	intermediates := x509.NewCertPool()
	for _, cert := range state.PeerCertificates[1:] {
		intermediates.AddCert(cert)
	}
	_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{
		Roots: config.ClientCAs, Intermediates: intermediates, CurrentTime: now(config),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return nil
	}
	return state.PeerCertificates[0]
}

func now(config *tls.Config) time.Time {
	if config.Time != nil {
		return config.Time()
	}
	return time.Now()
}
