package gateway

import (
	"fmt"
	"slices"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
)

// frontend is the client certificate validation of a Gateway for its HTTPS listeners on
// one port.
type frontend struct {
	auth *model.ClientAuth // nil asks for no certificate
	// accepted and resolved become conditions of the listeners.
	accepted, resolved verdict
}

// clients reads the client certificate validation of a Gateway for a port: that of the
// port, or else the default (GatewayTLSConfig.frontend).
func (t *translation) clients(g *gateway, port gatewayv1.PortNumber) *frontend {
	if known := g.frontends[port]; known != nil {
		return known
	}
	f := &frontend{accepted: yes(gatewayv1.ListenerReasonAccepted), resolved: yes(gatewayv1.ListenerReasonResolvedRefs)}
	if g.frontends == nil {
		g.frontends = map[gatewayv1.PortNumber]*frontend{}
	}
	g.frontends[port] = f
	if spec := g.object.Value.Spec.TLS; spec != nil && spec.Frontend != nil {
		validation, field := spec.Frontend.Default.Validation, "spec.tls.frontend.default.validation"
		if i := slices.IndexFunc(spec.Frontend.PerPort, func(p gatewayv1.TLSPortConfig) bool { return p.Port == port }); i >= 0 {
			validation, field = spec.Frontend.PerPort[i].TLS.Validation, item("spec.tls.frontend.perPort", i)+".tls.validation"
		}
		if validation != nil {
			t.readValidation(g, f, validation, field+".caCertificateRefs")
		}
	}
	return f
}

// readValidation reads the certificate authorities for client certificates.
func (t *translation) readValidation(g *gateway, f *frontend, validation *gatewayv1.FrontendTLSValidation, field string) {
	auth := &model.ClientAuth{}
	if validation.Mode == gatewayv1.AllowInsecureFallback {
		auth.Mode = model.RequestCertificate
	}
	for i, ref := range validation.CACertificateRefs {
		name, problem := t.authority(g, ref)
		if problem.no {
			f.resolved = problem
			t.report(reason.BundleInvalid, g.object.At(item(field, i)), "%s", problem.message)
		} else if !slices.Contains(auth.Bundles, name) {
			auth.Bundles = append(auth.Bundles, name)
		}
	}
	if len(auth.Bundles) == 0 {
		f.accepted = no(gatewayv1.ListenerReasonNoValidCACertificate, "no reference leads to authorities that clients could be validated by")
		return
	}
	slices.Sort(auth.Bundles)
	f.auth = auth
}

// authority resolves one reference of a Gateway to a certificate authority bundle.
func (t *translation) authority(g *gateway, ref gatewayv1.ObjectReference) (string, verdict) {
	home := g.object.Origin.Namespace
	name := source.Name{Namespace: string(deref(ref.Namespace, gatewayv1.Namespace(home))), Name: string(ref.Name)}
	if !t.grants.permit("Gateway", home, reference{string(ref.Group), string(ref.Kind), name.Namespace, name.Name}) {
		return "", no(gatewayv1.ListenerReasonRefNotPermitted, fmt.Sprintf("no ReferenceGrant in namespace %s lets it use %s %s", name.Namespace, ref.Kind, ref.Name))
	}
	bundle, problem := t.bundle(string(ref.Group), string(ref.Kind), name)
	switch {
	case problem == nil:
		return bundle, verdict{}
	case problem.kind:
		return "", no(gatewayv1.ListenerReasonInvalidCACertificateKind, problem.message)
	}
	return "", no(gatewayv1.ListenerReasonInvalidCACertificateRef, problem.message)
}

// validates sets the client certificate validation of a listener to that of its Gateway.
func (t *translation) validates(l *listener) {
	f := t.clients(l.gateway, l.spec.Port)
	l.clientAuth = f.auth
	if f.accepted.no && !l.accepted.no {
		l.accepted = f.accepted
	}
	if f.resolved.no && !l.resolved.no {
		l.resolved = f.resolved
	}
}

// insecure reports whether a Gateway asks for client certificates but also accepts
// clients without a valid one (condition InsecureFrontendValidationMode).
func (g *gateway) insecure() bool {
	spec := g.object.Value.Spec.TLS
	if spec == nil || spec.Frontend == nil {
		return false
	}
	fallback := func(c gatewayv1.TLSConfig) bool {
		return c.Validation != nil && c.Validation.Mode == gatewayv1.AllowInsecureFallback
	}
	return fallback(spec.Frontend.Default) ||
		slices.ContainsFunc(spec.Frontend.PerPort, func(p gatewayv1.TLSPortConfig) bool { return fallback(p.TLS) })
}

// agreeOnClients decides the client certificate validation of a port that several
// Gateways share: the first Gateway that has one decides. Gateways with another one stay
// closed; Gateways without any get the first one's, too.
func (t *translation) agreeOnClients() {
	t.clientAuth = map[model.ListenerID]*model.ClientAuth{}
	var all []*listener
	for _, g := range t.order {
		g.each(func(l *listener) {
			if !l.programmed() || !l.terminates() {
				return
			}
			all = append(all, l)
			if t.clientAuth[l.id()] == nil {
				t.clientAuth[l.id()] = l.clientAuth
			}
		})
	}
	for _, l := range all {
		switch agreed := t.clientAuth[l.id()]; {
		case agreed == nil || l.clientAuth != nil && l.clientAuth.Mode == agreed.Mode && slices.Equal(l.clientAuth.Bundles, agreed.Bundles):
		case l.clientAuth == nil:
			t.report(reason.HostShared, l.origin("port"), "another Gateway that shares port %d asks clients for certificates: those of this one need them too", l.spec.Port)
		default:
			l.guard = "the validation of client certificates (spec.tls.frontend), which differs from that of another Gateway on the port,"
			t.report(reason.GuardClosed, l.origin("port"), "another Gateway that shares port %d validates clients in another way, so this listener stays closed", l.spec.Port)
		}
	}
}
