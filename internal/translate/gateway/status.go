package gateway

import (
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"windrose.dev/windrose/internal/source"
	"windrose.dev/windrose/internal/translate/status"
)

// verdict is the value of one condition: true with a reason, or false with a reason and a
// message.
type verdict struct {
	no      bool
	reason  string
	message string
}

func yes[R ~string](reason R) verdict { return verdict{reason: string(reason)} }

func no[R ~string](reason R, message string) verdict {
	return verdict{no: true, reason: string(reason), message: message}
}

// conditions collects the conditions of one object, listener or parent.
type conditions []status.Condition

func set[C ~string](c *conditions, condition C, v verdict) {
	truth := status.True
	if v.no {
		truth = status.False
	}
	*c = append(*c, status.Condition{Type: string(condition), Status: truth, Reason: v.reason, Message: v.message})
}

// refOf returns the Ref of an object of one of the API's kinds.
func refOf(kind string, name source.Name) status.Ref {
	return status.Ref{Group: gatewayv1.GroupName, Kind: kind, Namespace: name.Namespace, Name: name.Name}
}

// parentRef returns a route's reference to a parent with its defaults filled in.
func parentRef(ref gatewayv1.ParentReference) status.ParentRef {
	return status.ParentRef{
		Ref: status.Ref{
			Group: string(deref(ref.Group, gatewayv1.GroupName)), Kind: string(deref(ref.Kind, "Gateway")),
			Namespace: string(deref(ref.Namespace, "")), Name: string(ref.Name),
		},
		Section: string(deref(ref.SectionName, "")), Port: int32(deref(ref.Port, 0)),
	}
}

func addressesOf(all []gatewayv1.GatewayStatusAddress) []status.Address {
	var out []status.Address
	for _, a := range all {
		out = append(out, status.Address{Type: string(deref(a.Type, gatewayv1.IPAddressType)), Value: a.Value})
	}
	return out
}
