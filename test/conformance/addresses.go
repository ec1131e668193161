package conformance

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"windrose.dev/windrose/internal/source"
	"windrose.dev/windrose/internal/translate/gateway"
)

// addresses hands out loopback addresses of one network 127.x.0.0/16, which it reserves
// for this process:
//
//	127.x.0.1      the API
//	127.x.1.0/24   addresses that Gateways may ask for
//	127.x.64.0/18  Gateways
//	127.x.128.0/18 pods
//	127.x.255.254  locks the network
type addresses struct {
	net  byte
	lock net.Listener

	mu    sync.Mutex
	taken map[string]netip.Addr // by their use
}

// The networks are tried from the first to the last.
const firstNet, lastNet = 66, 96

// lockPort is below 1024 on purpose: a process that can bind it can bind the ports of the
// tests.
const lockPort = 79

func newAddresses() (*addresses, error) {
	var err error
	for n := byte(firstNet); n <= lastNet; n++ {
		a := &addresses{net: n, taken: map[string]netip.Addr{}}
		a.lock, err = net.Listen("tcp", net.JoinHostPort(a.at(255, 254).String(), strconv.Itoa(lockPort)))
		if err == nil {
			return a, nil
		}
	}
	return nil, fmt.Errorf("no network of loopback addresses, which takes Linux and the right to bind ports below 1024: %w", err)
}

func (a *addresses) close() { a.lock.Close() }

func (a *addresses) at(high, low byte) netip.Addr {
	return netip.AddrFrom4([4]byte{127, a.net, high, low})
}

func (a *addresses) api() string { return a.at(0, 1).String() }

// usable and unusable are addresses for the suite's tests of requested addresses.
func (a *addresses) usable() string { return a.at(1, 1).String() }

func (a *addresses) unusable() string { return "192.0.2.1" } // RFC 5737: unassigned

// keep returns the address for something in a network, the same one each time.
func (a *addresses) keep(what string, high byte) netip.Addr {
	a.mu.Lock()
	defer a.mu.Unlock()
	addr, known := a.taken[what]
	if !known {
		n := len(a.taken) + 1
		addr = a.at(high+byte(n>>8), byte(n))
		a.taken[what] = addr
	}
	return addr
}

func (a *addresses) pod(name source.Name) netip.Addr { return a.keep("pod "+name.String(), 128) }

// of decides the addresses of a Gateway: those that it asks for, or one of its own.
func (a *addresses) of(name source.Name, asked []gatewayv1.GatewaySpecAddress) ([]gatewayv1.GatewayStatusAddress, gateway.Problem) {
	kind := gatewayv1.IPAddressType
	var out []gatewayv1.GatewayStatusAddress
	add := func(value string) {
		out = append(out, gatewayv1.GatewayStatusAddress{Type: &kind, Value: value})
	}
	for _, one := range asked {
		switch {
		case one.Type != nil && *one.Type != gatewayv1.IPAddressType:
			return nil, gateway.Problem{Reason: gatewayv1.GatewayReasonUnsupportedAddress, Message: "addresses of type " + string(*one.Type) + " are not supported"}
		case one.Value != "":
			add(one.Value)
		}
	}
	for _, one := range out {
		if addr, err := netip.ParseAddr(one.Value); err != nil || !a.offers(addr) {
			return nil, gateway.Problem{Reason: gatewayv1.GatewayReasonAddressNotUsable, Message: "address " + one.Value + " is not to be had here"}
		}
	}
	if len(out) == 0 {
		add(a.keep("gateway "+name.String(), 64).String())
	}
	return out, gateway.Problem{}
}

// offers reports whether a Gateway may ask for an address.
func (a *addresses) offers(addr netip.Addr) bool {
	return netip.PrefixFrom(a.at(1, 0), 24).Contains(addr)
}
