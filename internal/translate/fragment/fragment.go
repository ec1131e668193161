// Package fragment holds what one dialect makes of a Set: a [Fragment]. All dialects
// return the same type, and the merge folds their Fragments in order without knowing the
// dialects.
package fragment

import (
	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
	"windrose.dev/windrose/internal/translate/backend"
	"windrose.dev/windrose/internal/translate/status"
)

// Fragment is what a dialect asks for. Its lists may have duplicates. It does not depend
// on other dialects.
type Fragment struct {
	Listeners []Listener
	Hosts     []Host
	// L4 holds the L4 routes.
	L4 []model.L4Route
	// Services are the ports that routes lead to.
	Services []backend.Ref
	// Certificates are the certificates of listeners; if several are for one host, the
	// first is used.
	Certificates []Certificate
	// Policies limit the TLS of hosts that get no policy from a certificate. HostPolicies
	// means that the dialect sets TLS by host. Then the policy of a wider name in another
	// dialect applies to the hosts for which this dialect has none.
	Policies     []Policy
	HostPolicies bool
	// Identities are the client certificates of proxies to backends.
	Identities []Identity
	// Bundles are the certificate authority bundles that listeners and services name.
	Bundles []model.Bundle
	// Origins are the origins of rules, by ID.
	Origins map[string]reason.Origin
	Reports []reason.Report
	// Status is the status that a controller would write into the dialect's objects.
	Status []status.Object
}

// Listener is a port on which a dialect serves hosts or L4 routes.
type Listener struct {
	model.Listener
	// IfAbsent asks for the listener only if no other dialect has the port.
	IfAbsent bool
}

// Host is the block for one host on some listeners.
type Host struct {
	Listeners []model.ListenerID
	// Name is in the form of model.Host.Name.
	Name string
	// Block is nil if the dialect only names the host and has no rules for it.
	Block    *model.Block
	Fallback bool
}

// Certificate asks for a certificate at a listener.
type Certificate struct {
	Listener model.ListenerID
	// Host is in the form of model.Certificate.Host.
	Host string
	// Secret is empty if the reference is invalid, which the dialect has reported.
	Secret source.Name
	// Policy limits the TLS versions and cipher suites for Host; nil leaves them to the
	// proxy.
	Policy *model.TLSPolicy
	Origin reason.Origin
}

// Policy limits the TLS versions and cipher suites of a host.
type Policy struct {
	Listener model.ListenerID
	Host     string
	TLS      *model.TLSPolicy
	Origin   reason.Origin
}

// Identity is a client certificate that proxies show to backends.
type Identity struct {
	// Listener is the listener whose requests use it; the zero value means that services
	// name it themselves.
	Listener model.ListenerID
	// Name is the model's name of the secret.
	Name string
	// Secret is empty if the reference is invalid. Then there is no key material, and
	// connections that need the certificate fail.
	Secret source.Name
	Origin reason.Origin
}
