package gateway

import (
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"windrose.dev/windrose/internal/translate/status"
)

// gatewayStatus writes the status of Gateways and ListenerSets.
func (t *translation) gatewayStatus() {
	for _, g := range t.order {
		t.out.Status = append(t.out.Status, g.status())
		for _, s := range g.sets {
			t.out.Status = append(t.out.Status, s.status())
		}
	}
}

func (g *gateway) status() status.Object {
	out := status.Object{Ref: refOf("Gateway", g.object.Name()), Generation: g.object.Value.Generation}
	for _, l := range g.listeners {
		out.Listeners = append(out.Listeners, l.status())
	}
	attached := g.attachedSets()
	if len(g.sets) > 0 {
		out.AttachedListenerSets = &attached
	}
	accepted := g.acceptedVerdict(attached)
	programmed := g.programmedVerdict(accepted)
	var c conditions
	set(&c, gatewayv1.GatewayConditionAccepted, accepted)
	set(&c, gatewayv1.GatewayConditionProgrammed, programmed)
	if g.identity != nil {
		set(&c, gatewayv1.GatewayConditionResolvedRefs, g.identity.resolved)
	}
	if g.insecure() { // a condition of negative polarity: it is left out if it is false
		insecure := yes(gatewayv1.GatewayReasonConfigurationChanged)
		insecure.message = "clients are taken that present no certificate, or one that does not verify"
		set(&c, gatewayv1.GatewayConditionInsecureFrontendValidationMode, insecure)
	}
	out.Conditions = c
	if !programmed.no {
		out.Addresses = addressesOf(g.addresses)
	}
	return out
}

// attachedSets counts the ListenerSets with at least one accepted listener.
func (g *gateway) attachedSets() int32 {
	n := int32(0)
	for _, s := range g.sets {
		if s.refused == nil && s.valid() > 0 {
			n++
		}
	}
	return n
}

func (g *gateway) acceptedVerdict(sets int32) verdict {
	valid := 0
	for _, l := range g.listeners {
		if !l.accepted.no {
			valid++
		}
	}
	switch {
	case g.invalid != nil:
		return *g.invalid
	case valid == 0 && sets == 0:
		return no(gatewayv1.GatewayReasonListenersNotValid, "none of its listeners is accepted")
	case valid < len(g.listeners):
		return verdict{reason: string(gatewayv1.GatewayReasonListenersNotValid), message: "not all of its listeners are accepted"}
	}
	return yes(gatewayv1.GatewayReasonAccepted)
}

func (g *gateway) programmedVerdict(accepted verdict) verdict {
	served := 0
	g.each(func(l *listener) {
		if l.programmed() {
			served++
		}
	})
	switch {
	case accepted.no:
		return no(gatewayv1.GatewayReasonInvalid, accepted.message)
	case g.address.Reason != "":
		return no(g.address.Reason, g.address.Message)
	case served == 0:
		return no(gatewayv1.GatewayReasonInvalid, "none of its listeners is programmed")
	}
	return yes(gatewayv1.GatewayReasonProgrammed)
}

// valid counts the accepted listeners.
func (s *listenerSet) valid() int {
	n := 0
	for _, l := range s.listeners {
		if !l.accepted.no {
			n++
		}
	}
	return n
}

func (s *listenerSet) status() status.Object {
	accepted, programmed := yes(gatewayv1.ListenerSetReasonAccepted), yes(gatewayv1.ListenerSetReasonProgrammed)
	out := status.Object{Ref: refOf("ListenerSet", s.object.Name()), Generation: s.object.Value.Generation}
	served := 0
	for _, l := range s.listeners {
		if l.programmed() {
			served++
		}
	}
	switch {
	case s.refused != nil:
		accepted, programmed = *s.refused, *s.refused
	case s.valid() == 0:
		accepted = no(gatewayv1.ListenerSetReasonListenersNotValid, "none of its listeners is accepted")
		programmed = accepted
	case served == 0:
		programmed = no(gatewayv1.ListenerSetReasonListenersNotValid, "none of its listeners is programmed")
		accepted = programmed
	case s.valid() < len(s.listeners):
		accepted = verdict{reason: string(gatewayv1.ListenerSetReasonListenersNotValid), message: "not all of its listeners are accepted"}
	}
	var c conditions
	set(&c, gatewayv1.ListenerSetConditionAccepted, accepted)
	set(&c, gatewayv1.ListenerSetConditionProgrammed, programmed)
	out.Conditions = c
	if s.refused == nil {
		for _, l := range s.listeners {
			out.Listeners = append(out.Listeners, l.status())
		}
	}
	return out
}
