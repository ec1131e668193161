package model

import (
	"cmp"
	"strings"
)

// ServiceID names one port of a Service together with the traffic policy that applies to
// it: a port with several policies is several Services. The zero ID names no Service.
type ServiceID struct {
	_         struct{} `cbor:",toarray"`
	Namespace string
	Name      string
	// Port is the port's number or name.
	Port string
	// UDP means a UDP port; a TCP port of the same number is a different one.
	UDP bool
	// Subset names a subset of the Service's endpoints, as the resource calls it; empty
	// is all.
	Subset string
	// Policy names the protocol and TLS of the port, where they are not HTTP/1.1 and
	// plain text. It does not change with the content of a policy, so that the names of
	// metrics stay the same.
	Policy string
}

// noService stands in the text form for a backend without a valid Service.
const noService = "none"

// String returns namespace/name:port, followed by /udp for a UDP port, by + and the
// subset, and by ~ and the policy.
func (id ServiceID) String() string {
	out := id.Name
	if id.Namespace != "" {
		out = id.Namespace + "/" + out
	}
	if id.Port != "" {
		out += ":" + id.Port
	}
	if id.UDP {
		out += udpSuffix
	}
	if id.Subset != "" {
		out += "+" + id.Subset
	}
	if id.Policy != "" {
		out += "~" + id.Policy
	}
	return out
}

// ParseServiceID reads what String writes. Any other text gives an ID that Validate
// refuses.
func ParseServiceID(text string) (id ServiceID) {
	text, id.Policy, _ = strings.Cut(text, "~")
	text, id.Subset, _ = strings.Cut(text, "+")
	text, id.UDP = strings.CutSuffix(text, udpSuffix)
	if namespace, name, has := strings.Cut(text, "/"); has {
		id.Namespace, text = namespace, name
	}
	id.Name, id.Port, _ = strings.Cut(text, ":")
	return id
}

// IsZero reports whether the ID names no Service.
func (id ServiceID) IsZero() bool { return id == ServiceID{} }

// Compare orders by namespace, name, port, subset and policy.
func (id ServiceID) Compare(other ServiceID) int {
	return cmp.Or(
		cmp.Compare(id.Namespace, other.Namespace), cmp.Compare(id.Name, other.Name), cmp.Compare(id.Port, other.Port),
		compareBool(id.UDP, other.UDP), cmp.Compare(id.Subset, other.Subset), cmp.Compare(id.Policy, other.Policy),
	)
}

// MarshalText returns String.
func (id ServiceID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (id *ServiceID) UnmarshalText(text []byte) error {
	*id = ParseServiceID(string(text))
	return nil
}

// serviceID checks that an ID is read back unchanged from its text form, also in a list.
func (v *validator) serviceID(what string, id ServiceID) {
	text := id.String()
	v.name(what, text)
	v.check(id.Name != "" && ParseServiceID(text) == id && text != noService && !strings.ContainsAny(text, ",*"), "%s: %q names no Service", what, text)
}
