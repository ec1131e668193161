package gateway

import (
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
	"windrose.dev/windrose/internal/translate/fragment"
	"windrose.dev/windrose/internal/translate/secret"
)

// identity is the client certificate that a Gateway shows to backends.
type identity struct {
	name     string
	secret   source.Name
	origin   reason.Origin
	resolved verdict // condition ResolvedRefs of the Gateway
}

// readIdentity reads spec.tls.backend; nil is none.
func (t *translation) readIdentity(g *gateway) *identity {
	spec := g.object.Value.Spec.TLS
	if spec == nil || spec.Backend == nil || spec.Backend.ClientCertificateRef == nil {
		return nil
	}
	ref, home := spec.Backend.ClientCertificateRef, g.object.Origin.Namespace
	name := source.Name{Namespace: string(deref(ref.Namespace, gatewayv1.Namespace(home))), Name: string(ref.Name)}
	out := &identity{name: name.String(), secret: name, origin: g.object.At("spec.tls.backend.clientCertificateRef"), resolved: yes(gatewayv1.GatewayReasonResolvedRefs)}
	switch group, kind := deref(ref.Group, ""), deref(ref.Kind, "Secret"); {
	case group != "" || kind != "Secret":
		out.resolved = no(gatewayv1.GatewayReasonInvalidClientCertificateRef, "a client certificate is a Secret, not a "+string(kind))
	case !t.grants.permit("Gateway", home, reference{"", "Secret", name.Namespace, name.Name}):
		out.resolved = no(gatewayv1.GatewayReasonRefNotPermitted, "no ReferenceGrant in namespace "+name.Namespace+" lets it use Secret "+name.Name)
	default:
		if err := t.certificate(name, secret.ClientCertificate); err != nil {
			out.resolved = no(gatewayv1.GatewayReasonInvalidClientCertificateRef, err.Error())
		}
	}
	if out.resolved.no {
		// No other Secret has a name of three parts.
		out.name, out.secret = "gateway/"+g.object.Name().String(), source.Name{}
		t.report(reason.GatewayInvalid, out.origin, "%s: backends that are reached over TLS answer 503", out.resolved.message)
	}
	return out
}

// identities gives every listener of the model the client certificate of its Gateway. On
// a port that several Gateways share, it is set only if all of them have the same one.
func (t *translation) identities() {
	at := map[model.ListenerID]*identity{}
	disagree := map[model.ListenerID]bool{}
	for _, g := range t.order {
		g.each(func(l *listener) {
			if !l.programmed() {
				return
			}
			id := l.id()
			if first, known := at[id]; known && first.is() != g.identity.is() && !disagree[id] {
				disagree[id] = true
				t.report(reason.NotHonoured, l.origin("port"), "the Gateways that share port %d identify themselves differently to backends, so none is", l.spec.Port)
			} else if !known {
				at[id] = g.identity
			}
		})
	}
	for i := range t.out.Listeners {
		l := &t.out.Listeners[i]
		if own := at[l.ID]; own != nil && !disagree[l.ID] {
			l.BackendCertificate = own.name
			t.out.Identities = append(t.out.Identities, fragment.Identity{Listener: l.ID, Name: own.name, Secret: own.secret, Origin: own.origin})
		}
	}
}

// is returns the name of an identity; it is empty for nil.
func (i *identity) is() string {
	if i == nil {
		return ""
	}
	return i.name
}
