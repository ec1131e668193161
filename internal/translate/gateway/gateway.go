package gateway

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
	"windrose.dev/windrose/internal/translate/fragment"
)

// gateway is a Gateway whose class is served.
type gateway struct {
	object *source.Object[gatewayv1.Gateway]
	// id is empty if all Gateways share their ports.
	id        string
	addresses []gatewayv1.GatewayStatusAddress
	address   Problem
	// invalid says why nothing of the Gateway is served.
	invalid   *verdict
	listeners []*listener
	sets      []*listenerSet
	// frontends holds the client certificate validation by port.
	frontends map[gatewayv1.PortNumber]*frontend
	identity  *identity // client certificate to backends; nil is none
}

// listenerSet is a ListenerSet whose Gateway is served.
type listenerSet struct {
	object    *source.Object[gatewayv1.ListenerSet]
	gateway   *gateway
	refused   *verdict // why the Gateway does not accept it
	listeners []*listener
}

func (t *translation) collectGateways() {
	for _, object := range byAge(t.set.Gateways) {
		class := string(object.Value.Spec.GatewayClassName)
		served, known := t.served[class]
		if !known {
			t.report(reason.ClassNotServed, object.At("spec.gatewayClassName"), "GatewayClass %s is not served here", class)
			continue
		}
		g := &gateway{object: object}
		t.gateways[object.Name()] = g
		t.order = append(t.order, g)
		if !served {
			g.refuse(t, gatewayv1.GatewayReasonPending, "spec.gatewayClassName", "its GatewayClass is not accepted")
		}
		t.readGateway(g)
		for i, spec := range object.Value.Spec.Listeners {
			g.listeners = append(g.listeners, &listener{
				gateway: g, spec: spec, namespace: object.Origin.Namespace,
				field: fmt.Sprintf("spec.listeners[%d]", i), at: object.At,
			})
		}
	}
}

func (g *gateway) refuse(t *translation, why gatewayv1.GatewayConditionReason, field, message string) {
	if g.invalid == nil {
		v := no(why, message)
		g.invalid = &v
	}
	t.report(reason.GatewayInvalid, g.object.At(field), "%s", message)
}

// readGateway reads the fields that concern a Gateway as a whole.
func (t *translation) readGateway(g *gateway) {
	spec := &g.object.Value.Spec
	if i := spec.Infrastructure; i != nil && i.ParametersRef != nil {
		g.refuse(t, gatewayv1.GatewayReasonInvalidParameters, "spec.infrastructure.parametersRef",
			"parametersRef leads to a "+string(i.ParametersRef.Kind)+", of which nothing is read")
	}
	if i := spec.Infrastructure; i != nil && len(i.Labels)+len(i.Annotations) > 0 {
		t.report(reason.NotHonoured, g.object.At("spec.infrastructure"), "nothing is deployed for a Gateway that could carry labels or annotations")
	}
	if spec.DefaultScope != "" && spec.DefaultScope != gatewayv1.GatewayDefaultScopeNone {
		t.report(reason.NotHonoured, g.object.At("spec.defaultScope"), "routes attach to the Gateways that they name alone")
	}
	g.identity = t.readIdentity(g)
	if t.opts.Addresses == nil {
		if len(spec.Addresses) > 0 {
			t.report(reason.NotHonoured, g.object.At("spec.addresses"), "all Gateways share the addresses of this process")
		}
		return
	}
	g.id = g.object.Name().String()
	if g.addresses, g.address = t.opts.Addresses(g.object.Name(), spec.Addresses); g.address.Reason == "" {
		return
	}
	if g.address.Reason == gatewayv1.GatewayReasonUnsupportedAddress {
		g.refuse(t, g.address.Reason, "spec.addresses", g.address.Message)
	} else {
		t.report(reason.GatewayInvalid, g.object.At("spec.addresses"), "%s", g.address.Message)
	}
}

func (t *translation) collectListenerSets() {
	for _, object := range byAge(t.set.ListenerSets) {
		ref := object.Value.Spec.ParentRef
		g := t.gateways[source.Name{
			Namespace: string(deref(ref.Namespace, gatewayv1.Namespace(object.Origin.Namespace))), Name: string(ref.Name),
		}]
		if g == nil || deref(ref.Kind, "Gateway") != "Gateway" || deref(ref.Group, gatewayv1.GroupName) != gatewayv1.GroupName {
			t.report(reason.RouteNotAttached, object.At("spec.parentRef"), "there is no Gateway %s that is served here", ref.Name)
			continue
		}
		s := &listenerSet{object: object, gateway: g}
		t.sets[object.Name()] = s
		g.sets = append(g.sets, s)
		switch {
		case !t.allowsSet(g, object.Origin.Namespace):
			v := no(gatewayv1.ListenerSetReasonNotAllowed, "the Gateway's allowedListeners do not take ListenerSets of this namespace")
			s.refused = &v
		case g.invalid != nil:
			v := no(gatewayv1.ListenerSetReasonParentNotAccepted, "the Gateway is not accepted: "+g.invalid.message)
			s.refused = &v
		}
		if s.refused != nil {
			t.report(reason.RouteNotAttached, object.At("spec.parentRef"), "%s", s.refused.message)
		}
		for i, entry := range object.Value.Spec.Listeners {
			s.listeners = append(s.listeners, &listener{
				gateway: g, set: s, spec: gatewayv1.Listener(entry), namespace: object.Origin.Namespace,
				field: fmt.Sprintf("spec.listeners[%d]", i), at: object.At,
			})
		}
	}
}

// allowsSet reads spec.allowedListeners; without it no ListenerSet is allowed.
func (t *translation) allowsSet(g *gateway, namespace string) bool {
	allowed := g.object.Value.Spec.AllowedListeners
	if allowed == nil || allowed.Namespaces == nil {
		return false
	}
	from := deref(allowed.Namespaces.From, gatewayv1.NamespacesFromNone)
	return t.takes(from, allowed.Namespaces.Selector, g.object.Origin.Namespace, namespace)
}

// takes reports whether an object of one namespace may attach to an object in home.
func (t *translation) takes(from gatewayv1.FromNamespaces, selector *metav1.LabelSelector, home, namespace string) bool {
	switch from {
	case gatewayv1.NamespacesFromAll:
		return true
	case gatewayv1.NamespacesFromSame:
		return namespace == home
	case gatewayv1.NamespacesFromSelector:
		return t.selects(selector, namespace)
	}
	return false
}

// selects reports whether a selector matches the labels of a namespace. A namespace
// without an object has only the label that every namespace has.
func (t *translation) selects(selector *metav1.LabelSelector, namespace string) bool {
	wanted, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return false
	}
	has := labels.Set{"kubernetes.io/metadata.name": namespace}
	if object := t.set.Namespaces.Get("", namespace); object != nil {
		for key, value := range object.Value.Labels {
			has[key] = value
		}
	}
	return wanted.Matches(has)
}

// each calls do for a Gateway's own listeners and those of its ListenerSets, in order of
// precedence (GEP-1713).
func (g *gateway) each(do func(*listener)) {
	for _, l := range g.listeners {
		do(l)
	}
	for _, s := range g.sets {
		for _, l := range s.listeners {
			do(l)
		}
	}
}

// openListeners makes the model's listeners from the programmed listeners.
func (t *translation) openListeners() {
	at := map[model.ListenerID]int{}
	named := map[hostPlace]bool{}
	for _, g := range t.order {
		g.each(func(l *listener) {
			if !l.programmed() {
				return
			}
			id := l.id()
			if i, open := at[id]; open && l.protocol() == model.HTTPS {
				t.out.Listeners[i].Protocol = model.HTTPS // the first may be of TLS
			} else if !open {
				at[id] = len(t.out.Listeners)
				t.out.Listeners = append(t.out.Listeners, fragment.Listener{Listener: model.Listener{ID: id, Protocol: l.protocol(), Address: l.address(), ClientAuth: t.clientAuth[id]}})
			}
			if place := (hostPlace{id, l.host()}); l.protocol() == model.HTTPS && !named[place] {
				named[place] = true
				names := &t.out.Listeners[at[id]].Names
				*names = append(*names, modelHost(l.host()))
			}
			if l.secret != nil {
				t.out.Certificates = append(t.out.Certificates, fragment.Certificate{Listener: id, Host: modelHost(l.host()), Secret: *l.secret, Policy: l.policy, Origin: l.origin("tls")})
			}
		})
	}
}
