// Package fragment has what one dialect makes of a Set: a [Fragment]. Every dialect
// gives one, in the same words, and the merge folds them in their order without knowing
// whose each is.
package fragment

import (
	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
	"windrose.dev/windrose/internal/translate/backend"
	"windrose.dev/windrose/internal/translate/status"
)

// Fragment is what a dialect asks for. Lists may repeat what they say; nothing in one
// depends on other dialects.
type Fragment struct {
	Listeners []Listener
	Hosts     []Host
	// L4 are the routes of layer 4.
	L4 []model.L4Route
	// Services are the ports that routes lead to.
	Services []backend.Ref
	// Certificates are those that listeners show, the first for a host first.
	Certificates []Certificate
	// Policies are the TLS of hosts that have none by a certificate. HostPolicies tells
	// that the dialect gives TLS by host, so that what it does not say of one is for the
	// wider names of others to say.
	Policies     []Policy
	HostPolicies bool
	// Identities are the certificates by which proxies identify themselves to backends.
	Identities []Identity
	// Bundles are the authorities that listeners and services name.
	Bundles []model.Bundle
	// Origins are those of rules, by id.
	Origins map[string]reason.Origin
	Reports []reason.Report
	// Status is what a controller would write into the dialect's objects.
	Status []status.Object
}

// Listener is a port that a dialect's hosts or routes are served on.
type Listener struct {
	model.Listener
	// IfAbsent asks for it only where no other dialect has the port.
	IfAbsent bool
}

// Host is the block for one host on some listeners.
type Host struct {
	Listeners []model.ListenerID
	// Name is as the model has it.
	Name string
	// Block is nil where all that is to be said is that the host is there.
	Block    *model.Block
	Fallback bool
}

// Certificate is a listener's wish for a certificate.
type Certificate struct {
	Listener model.ListenerID
	// Host is as the model has it.
	Host string
	// Secret has no name where the reference is not good, and the dialect has said so.
	Secret source.Name
	// Policy is the TLS that is spoken for Host; nil leaves it to the proxy.
	Policy *model.TLSPolicy
	Origin reason.Origin
}

// Policy is the TLS that a host is spoken to with.
type Policy struct {
	Listener model.ListenerID
	Host     string
	TLS      *model.TLSPolicy
	Origin   reason.Origin
}

// Identity is a certificate that proxies show to backends.
type Identity struct {
	// Listener is the one on whose behalf it is shown; the zero value is that services
	// name it themselves.
	Listener model.ListenerID
	// Name is the model's name of the secret.
	Name string
	// Secret has no name where the reference is not good: then there is no
	// material, and connections that need it fail.
	Secret source.Name
	Origin reason.Origin
}
