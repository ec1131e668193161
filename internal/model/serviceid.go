package model

import (
	"cmp"
	"strings"
)

// ServiceID names one port of a Service as it is spoken to: a port with several traffic
// policies is several Services. The zero ID is none.
type ServiceID struct {
	_         struct{} `cbor:",toarray"`
	Namespace string
	Name      string
	// Port is its number, or its name.
	Port string
	// UDP has it a port of UDP, which is another than that of TCP.
	UDP bool
	// Subset is a part of the Service's endpoints, by the name that the resource has
	// for it; empty is all.
	Subset string
	// Policy says how the port is spoken to, where that is not HTTP/1.1 and plain text.
	// It does not change with what a policy says, so that neither do the names of
	// metrics.
	Policy string
}

// noService stands in the text form for a backend that cannot be had.
const noService = "none"

// String is namespace/name:port, with /udp behind a port of UDP, the subset behind a +,
// and the policy behind a ~.
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

// ParseServiceID reads what String writes. Of any other text it makes an ID that
// Validate refuses.
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

// IsZero reports whether it is none.
func (id ServiceID) IsZero() bool { return id == ServiceID{} }

// Compare orders by namespace, name, port, subset and policy.
func (id ServiceID) Compare(other ServiceID) int {
	return cmp.Or(
		cmp.Compare(id.Namespace, other.Namespace), cmp.Compare(id.Name, other.Name), cmp.Compare(id.Port, other.Port),
		compareBool(id.UDP, other.UDP), cmp.Compare(id.Subset, other.Subset), cmp.Compare(id.Policy, other.Policy),
	)
}

// MarshalText writes String.
func (id ServiceID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (id *ServiceID) UnmarshalText(text []byte) error {
	*id = ParseServiceID(string(text))
	return nil
}

// serviceID checks an ID: what it is written as is read as itself, also among others.
func (v *validator) serviceID(what string, id ServiceID) {
	text := id.String()
	v.name(what, text)
	v.check(id.Name != "" && ParseServiceID(text) == id && text != noService && !strings.ContainsAny(text, ",*"), "%s: %q names no Service", what, text)
}
