package gateway

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"windrose.dev/windrose/internal/source"
)

// String is the text form of a Status: a line an object, a listener, or a
// parent of a route, with each condition as type=reason, behind a ! if it is
// false.
//
//	gateway infra/edge Accepted=Accepted Programmed=Programmed
//	listener infra/edge http attached=1 kinds=HTTPRoute Accepted=Accepted Conflicted=!NoConflicts …
//	httproute shop/web parent=infra/edge Accepted=!NoMatchingParent ResolvedRefs=ResolvedRefs
func (s Status) String() string {
	var b strings.Builder
	line := func(conditions []metav1.Condition, words ...string) {
		for _, c := range conditions {
			words = append(words, conditionText(c))
		}
		b.WriteString(strings.Join(words, " ") + "\n")
	}
	for _, name := range sorted(s.GatewayClasses) {
		line(s.GatewayClasses[name].Conditions, "gatewayclass", name.String())
	}
	for _, name := range sorted(s.Gateways) {
		status := s.Gateways[name]
		words := []string{"gateway", name.String()}
		for _, a := range status.Addresses {
			words = append(words, "address="+a.Value)
		}
		if status.AttachedListenerSets != nil {
			words = append(words, fmt.Sprintf("sets=%d", *status.AttachedListenerSets))
		}
		line(status.Conditions, words...)
		for _, l := range status.Listeners {
			line(l.Conditions, listenerWords(name, l)...)
		}
	}
	for _, name := range sorted(s.ListenerSets) {
		line(s.ListenerSets[name].Conditions, "listenerset", name.String())
		for _, l := range s.ListenerSets[name].Listeners {
			line(l.Conditions, listenerWords(name, gatewayv1.ListenerStatus(l))...)
		}
	}
	for _, kind := range []gatewayv1.Kind{"HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute"} {
		for _, name := range sorted(s.of(kind)) {
			for _, p := range s.of(kind)[name] {
				line(p.Conditions, strings.ToLower(string(kind)), name.String(), "parent="+parentText(p.ParentRef, name.Namespace))
			}
		}
	}
	for _, name := range sorted(s.BackendTLSPolicies) {
		for _, a := range s.BackendTLSPolicies[name] {
			line(a.Conditions, "backendtlspolicy", name.String(), "ancestor="+parentText(a.AncestorRef, name.Namespace))
		}
	}
	return b.String()
}

func sorted[V any](m map[source.Name]V) []source.Name {
	return slices.SortedFunc(maps.Keys(m), source.Name.Compare)
}

func conditionText(c metav1.Condition) string {
	sign := ""
	if c.Status != metav1.ConditionTrue {
		sign = "!"
	}
	return c.Type + "=" + sign + c.Reason
}

func listenerWords(of source.Name, l gatewayv1.ListenerStatus) []string {
	kinds := make([]string, len(l.SupportedKinds))
	for i, k := range l.SupportedKinds {
		kinds[i] = string(k.Kind)
	}
	return []string{"listener", of.String(), string(l.Name), fmt.Sprintf("attached=%d", l.AttachedRoutes), "kinds=" + strings.Join(kinds, ",")}
}

// parentText writes a parentRef as [kind:]namespace/name[/section][:port].
func parentText(ref gatewayv1.ParentReference, namespace string) string {
	text := string(deref(ref.Namespace, gatewayv1.Namespace(namespace))) + "/" + string(ref.Name)
	if kind := deref(ref.Kind, "Gateway"); kind != "Gateway" {
		text = strings.ToLower(string(kind)) + ":" + text
	}
	if ref.SectionName != nil {
		text += "/" + string(*ref.SectionName)
	}
	if ref.Port != nil {
		text += fmt.Sprintf(":%d", *ref.Port)
	}
	return text
}
