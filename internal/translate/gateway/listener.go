package gateway

import (
	"net"
	"slices"
	"strconv"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
	"windrose.dev/windrose/internal/translate/secret"
	"windrose.dev/windrose/internal/translate/status"
)

// listener is one listener of a Gateway or of a ListenerSet, with the results of its
// checks.
type listener struct {
	gateway   *gateway
	set       *listenerSet // nil if it is the Gateway's own
	spec      gatewayv1.Listener
	namespace string
	field     string
	at        func(field string) reason.Origin

	kinds    []status.GroupKind // of the routes that it accepts
	accepted verdict
	conflict verdict // true if there is one
	resolved verdict
	secret   *source.Name
	attached int32
	// overlaps means that the hostname overlaps another listener's over TLS.
	overlaps   bool
	clientAuth *model.ClientAuth
	// policy limits the TLS versions and cipher suites; nil leaves them to the proxy.
	policy *model.TLSPolicy
	// guard names what guards the listener and is not in force.
	guard string
	// claims are the hosts of the attached routes, by kind.
	claims map[gatewayv1.Kind]hostClaims
}

func (l *listener) origin(field string) reason.Origin { return l.at(l.field + "." + field) }

func (l *listener) host() string {
	return strings.ToLower(string(deref(l.spec.Hostname, "")))
}

func (l *listener) id() model.ListenerID {
	return model.ListenerID{Gateway: l.gateway.id, Port: uint16(l.spec.Port), UDP: l.spec.Protocol == gatewayv1.UDPProtocolType}
}

// protocols are the protocols that are served, in terms of the model.
var protocols = map[gatewayv1.ProtocolType]model.Protocol{
	gatewayv1.HTTPProtocolType: model.HTTP, gatewayv1.HTTPSProtocolType: model.HTTPS, gatewayv1.TLSProtocolType: model.TLS,
	gatewayv1.TCPProtocolType: model.TCP, gatewayv1.UDPProtocolType: model.UDP,
}

func (l *listener) protocol() model.Protocol { return protocols[l.spec.Protocol] }

// http reports whether the listener routes requests, and not only connections.
func (l *listener) http() bool { return l.protocol() <= model.HTTPS }

// terminates reports whether TLS ends at the listener, which then needs a certificate.
func (l *listener) terminates() bool {
	switch l.protocol() {
	case model.HTTPS:
		return true
	case model.TLS:
		return l.spec.TLS == nil || deref(l.spec.TLS.Mode, gatewayv1.TLSModeTerminate) == gatewayv1.TLSModeTerminate
	}
	return false
}

// address returns the address to listen on, if the Gateway has addresses of its own.
func (l *listener) address() string {
	if len(l.gateway.addresses) == 0 {
		return ""
	}
	return net.JoinHostPort(l.gateway.addresses[0].Value, strconv.Itoa(int(l.spec.Port)))
}

// usable reports whether the routes of a listener can be served.
func (l *listener) usable() bool { return !l.accepted.no && l.gateway.invalid == nil && !l.refused() }

func (l *listener) refused() bool { return l.set != nil && l.set.refused != nil }

// programmed reports whether a listener is opened.
func (l *listener) programmed() bool {
	return l.usable() && l.gateway.address.Reason == "" && (!l.terminates() || l.secret != nil)
}

// routeKinds are the supported kinds of routes for each protocol.
var routeKinds = map[gatewayv1.ProtocolType][]gatewayv1.Kind{
	gatewayv1.HTTPProtocolType:  {"HTTPRoute", "GRPCRoute"},
	gatewayv1.HTTPSProtocolType: {"HTTPRoute", "GRPCRoute"},
	gatewayv1.TLSProtocolType:   {"TLSRoute"},
	gatewayv1.TCPProtocolType:   {"TCPRoute"},
	gatewayv1.UDPProtocolType:   {"UDPRoute"},
}

// family names the protocols that can share a port. TLS and HTTPS are distinguished by
// server name, UDP by its sockets.
var family = map[gatewayv1.ProtocolType]string{
	gatewayv1.HTTPProtocolType: "http", gatewayv1.HTTPSProtocolType: "tls", gatewayv1.TLSProtocolType: "tls",
	gatewayv1.TCPProtocolType: "tcp", gatewayv1.UDPProtocolType: "udp",
}

// hostPlace is a hostname on a port.
type hostPlace struct {
	id   model.ListenerID
	host string
}

// checkListeners decides for every listener whether it is accepted, and resolves its
// references.
func (t *translation) checkListeners() {
	for _, g := range t.order {
		t.checkOwn(g)
		g.each(func(l *listener) {
			t.checkListener(l)
			if l.refused() || g.invalid != nil {
				return
			}
			t.checkConflicts(l)
			place := hostPlace{l.id(), l.host()}
			t.atHost[place] = append(t.atHost[place], l)
		})
	}
}

// checkOwn finds the conflicts among a Gateway's own listeners, in which no listener wins
// (Gateway API, "Handling indistinct Listeners").
func (t *translation) checkOwn(g *gateway) {
	for i, a := range g.listeners {
		for _, b := range g.listeners[:i] {
			if why := conflictOf(a, b); why != "" {
				t.conflicts(a, why, b)
				t.conflicts(b, why, a)
			}
		}
	}
}

// conflictOf returns the conflict of two listeners on one Gateway, if there is one.
func conflictOf(a, b *listener) gatewayv1.ListenerConditionReason {
	switch f, g := family[a.spec.Protocol], family[b.spec.Protocol]; {
	case a.spec.Port != b.spec.Port, f != g && (f == "udp" || g == "udp"):
		return ""
	case f != g, f == "tcp", f == "udp": // no hostname distinguishes these
		return gatewayv1.ListenerReasonProtocolConflict
	case a.host() == b.host():
		return gatewayv1.ListenerReasonHostnameConflict
	}
	return ""
}

// claim is what a listener takes exclusively: a port for a family of protocols, or a host
// of it.
type claim struct {
	id   model.ListenerID
	udp  bool
	host string
}

// portClaim stands for the whole port; no host has this name.
const portClaim = "\x00"

// checkConflicts compares a listener with those of higher precedence. A Gateway's own
// listeners have been compared with each other already.
func (t *translation) checkConflicts(l *listener) {
	if l.conflict.reason != "" {
		return
	}
	port := claim{l.id(), family[l.spec.Protocol] == "udp", portClaim}
	host := port
	host.host = l.host()
	for _, one := range []claim{port, host} {
		other := t.claims[one]
		if other == nil || other.gateway == l.gateway && other.set == nil && l.set == nil {
			continue
		}
		if why := conflictOf(l, other); why != "" {
			t.conflicts(l, why, other)
			return
		}
	}
	for _, one := range []claim{port, host} {
		if t.claims[one] == nil && !l.accepted.no {
			t.claims[one] = l
		}
	}
}

func (t *translation) conflicts(l *listener, why gatewayv1.ListenerConditionReason, other *listener) {
	message := "another listener, at " + other.origin("name").Place() + ", has port " + strconv.Itoa(int(l.spec.Port))
	if why == gatewayv1.ListenerReasonHostnameConflict {
		message += " with the same hostname"
	} else {
		message += " with protocol " + string(other.spec.Protocol)
	}
	l.conflict = verdict{reason: string(why), message: message}
	l.accepted = no(why, message)
	t.report(reason.ListenerInvalid, l.origin("port"), "%s", message)
}

func (t *translation) checkListener(l *listener) {
	l.resolved = yes(gatewayv1.ListenerReasonResolvedRefs)
	kinds, known := routeKinds[l.spec.Protocol]
	switch {
	case l.conflict.reason != "":
	case !known:
		l.accepted = no(gatewayv1.ListenerReasonUnsupportedProtocol, "protocol "+string(l.spec.Protocol)+" is not served; HTTP, HTTPS, TLS, TCP and UDP are")
		t.report(reason.ListenerInvalid, l.origin("protocol"), "%s", l.accepted.message)
	case t.opts.Addresses == nil && unlikeIngress(l):
		l.accepted = no(gatewayv1.ListenerReasonPortUnavailable, "ports 80 and 443 are shared with Ingress, which has HTTP on the one and HTTPS on the other")
		t.report(reason.ListenerInvalid, l.origin("port"), "%s", l.accepted.message)
	case slices.Contains(ownPorts[:], l.spec.Port):
		l.accepted = no(gatewayv1.ListenerReasonPortUnavailable, "ports 15000 and 15020 are those of the proxies' own APIs")
		t.report(reason.ListenerInvalid, l.origin("port"), "%s", l.accepted.message)
	case t.takesHTTP3(l):
		l.accepted = no(gatewayv1.ListenerReasonPortUnavailable, "HTTP/3 of other namespaces' HTTPS is served on this port of UDP")
		t.report(reason.ListenerInvalid, l.origin("port"), "%s", l.accepted.message)
	default:
		l.accepted = yes(gatewayv1.ListenerReasonAccepted)
	}
	if id := l.id(); l.protocol() == model.HTTPS && !l.accepted.no && t.https[id] == nil {
		t.https[id] = l
	}
	t.readKinds(l, kinds)
	t.speaks(l)
	if l.terminates() {
		t.readCertificates(l)
		t.validates(l)
	}
}

// unlikeIngress reports whether a listener cannot share its port with Ingress.
func unlikeIngress(l *listener) bool {
	switch l.id() {
	case model.ListenerID{Port: 80}:
		return family[l.spec.Protocol] != "http"
	case model.ListenerID{Port: 443}:
		return family[l.spec.Protocol] != "tls"
	}
	return false
}

// ownPorts are the ports of the admin and telemetry APIs. A proxy could not start if they
// were taken.
var ownPorts = [...]gatewayv1.PortNumber{15000, 15020}

// takesHTTP3 reports whether a UDP listener of a ListenerSet has the same port as an
// HTTPS listener of another namespace, or of Ingresses. Clients of that HTTPS listener
// would keep sending HTTP/3 to the port, where a proxy hands it to a UDP listener if
// there is one.
func (t *translation) takesHTTP3(l *listener) bool {
	if l.set == nil || l.protocol() != model.UDP {
		return false
	}
	id := l.id()
	id.UDP = false
	other := t.https[id]
	return other != nil && other.namespace != l.namespace || id == model.ListenerID{Port: 443}
}

// readKinds reads allowedRoutes.kinds.
func (t *translation) readKinds(l *listener, supported []gatewayv1.Kind) {
	if l.spec.AllowedRoutes == nil || len(l.spec.AllowedRoutes.Kinds) == 0 {
		for _, kind := range supported {
			l.kinds = append(l.kinds, status.GroupKind{Group: gatewayv1.GroupName, Kind: string(kind)})
		}
		return
	}
	for _, wanted := range l.spec.AllowedRoutes.Kinds {
		if deref(wanted.Group, gatewayv1.GroupName) == gatewayv1.GroupName && slices.Contains(supported, wanted.Kind) {
			l.kinds = append(l.kinds, status.GroupKind{Group: gatewayv1.GroupName, Kind: string(wanted.Kind)})
			continue
		}
		l.resolved = no(gatewayv1.ListenerReasonInvalidRouteKinds, "routes of kind "+string(wanted.Kind)+" cannot attach to a listener of protocol "+string(l.spec.Protocol))
		t.report(reason.ListenerInvalid, l.origin("allowedRoutes.kinds"), "%s", l.resolved.message)
	}
}

// readCertificates finds the listener's certificate: the first reference that resolves to
// a usable one.
func (t *translation) readCertificates(l *listener) {
	if l.spec.TLS == nil || len(l.spec.TLS.CertificateRefs) == 0 {
		l.resolved = no(gatewayv1.ListenerReasonInvalidCertificateRef, "the listener names no certificate")
		return
	}
	kind := "Gateway"
	if l.set != nil {
		kind = "ListenerSet"
	}
	for _, ref := range l.spec.TLS.CertificateRefs {
		name := source.Name{Namespace: string(deref(ref.Namespace, gatewayv1.Namespace(l.namespace))), Name: string(ref.Name)}
		group, of := deref(ref.Group, ""), deref(ref.Kind, "Secret")
		problem := verdict{}
		switch {
		case group != "" || of != "Secret":
			problem = no(gatewayv1.ListenerReasonInvalidCertificateRef, "a certificate is a Secret, not a "+string(of))
		case !t.grants.permit(kind, l.namespace, reference{"", "Secret", name.Namespace, name.Name}):
			problem = no(gatewayv1.ListenerReasonRefNotPermitted, "no ReferenceGrant in namespace "+name.Namespace+" lets it use Secret "+name.Name)
		default:
			if err := t.certificate(name, secret.ServerCertificate); err != nil {
				problem = no(gatewayv1.ListenerReasonInvalidCertificateRef, err.Error())
			}
		}
		if problem.no {
			l.resolved = problem
			t.report(reason.ListenerInvalid, l.origin("tls.certificateRefs"), "%s", problem.message)
			continue
		}
		if l.secret == nil {
			l.secret = &name
		}
	}
}

// status returns the status that a controller writes for the listener.
func (l *listener) status() status.Listener {
	var c conditions
	set(&c, gatewayv1.ListenerConditionAccepted, l.accepted)
	conflicted := no(gatewayv1.ListenerReasonNoConflicts, "")
	if l.conflict.reason != "" {
		conflicted = l.conflict
	}
	set(&c, gatewayv1.ListenerConditionConflicted, conflicted)
	set(&c, gatewayv1.ListenerConditionResolvedRefs, l.resolved)
	set(&c, gatewayv1.ListenerConditionProgrammed, l.programmedVerdict())
	if l.overlaps { // a condition of negative polarity: it is left out if it is false
		overlap := yes(gatewayv1.ListenerReasonOverlappingHostnames)
		overlap.message = "another HTTPS listener on this port has a hostname that overlaps"
		set(&c, gatewayv1.ListenerConditionOverlappingTLSConfig, overlap)
	}
	return status.Listener{Name: string(l.spec.Name), Kinds: append([]status.GroupKind{}, l.kinds...), AttachedRoutes: l.attached, Conditions: c}
}

func (l *listener) programmedVerdict() verdict {
	switch {
	case l.programmed():
		return yes(gatewayv1.ListenerReasonProgrammed)
	case l.conflict.reason != "":
		return no(gatewayv1.ListenerConditionReason(l.conflict.reason), l.conflict.message)
	case l.accepted.no:
		return no(gatewayv1.ListenerReasonInvalid, l.accepted.message)
	case l.resolved.no:
		return no(gatewayv1.ListenerReasonInvalid, l.resolved.message)
	}
	return no(gatewayv1.ListenerReasonPending, "the Gateway is not programmed")
}
