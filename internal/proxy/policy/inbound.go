package policy

import (
	"net/netip"
	"strings"

	"windrose.dev/windrose/internal/identity"
	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy/wire/proxyproto"
)

// Inbound is all that is known of a client's connection before a byte of it goes on. It
// is a value, and does not change while the connection lives.
type Inbound struct {
	// Listener accepted it.
	Listener model.ListenerID
	// Remote is who connected. Addr is the client: the same, or whom a PROXY header
	// names.
	Remote, Addr netip.AddrPort
	// Dialled is where the client connected to, here or at the balancer before us;
	// PublicPort is its port, as clients know it.
	Dialled    netip.AddrPort
	PublicPort uint16
	// Trusted peers are believed when they say who their client is.
	Trusted bool
	// TLS reports whether the connection speaks TLS that ends here, and ServerName is
	// the name that its ClientHello asks for, in lower case, also where TLS does not
	// end here.
	TLS        bool
	ServerName string
	// TLSOffloaded says that the client speaks TLS to a balancer that has taken it
	// off, and has said so by PROXY protocol.
	TLSOffloaded bool
	// Identity is who the client has shown to be by a certificate that was verified;
	// nil is that it has shown none.
	Identity *identity.Peer
	// Asked is what the listener asked of the client in the handshake, as text; empty
	// is nothing.
	Asked string
}

// Secure reports whether the client speaks TLS, as far as is known without its
// requests.
func (in *Inbound) Secure() bool { return in.TLS || in.TLSOffloaded }

// Facts are what a listener finds out about a connection, one after the other. What is
// not known yet is zero.
type Facts struct {
	Listener model.ListenerID
	// PublicPort is what clients dial to reach the listener.
	PublicPort uint16
	// Remote and Local are the ends of the connection.
	Remote, Local netip.AddrPort
	// Original is where a connection that was redirected here was going.
	Original netip.AddrPort
	// Header is the PROXY header that it began with.
	Header *proxyproto.Header
	// Hello is the server name of a ClientHello that was read and not answered.
	Hello string
	// Handshake is what a handshake that has ended here showed.
	Handshake *Handshake
}

// Handshake is what a client showed in a handshake.
type Handshake struct {
	// ServerName is as it was sent.
	ServerName string
	Peer       *identity.Peer
	// Asked is what the listener asked of the client.
	Asked string
}

// httpsPort is where clients dial a balancer that takes TLS off, if it does not say so:
// ingress-nginx goes by it, too.
const httpsPort = 443

// Inbound is what the facts come to. trusts reports whether those at an address are
// believed when they say who their client is.
func (f *Facts) Inbound(trusts func(netip.Addr) bool) Inbound {
	in := Inbound{
		Listener: f.Listener, Remote: f.Remote, Addr: f.Remote, Dialled: f.Local, PublicPort: f.PublicPort,
		Trusted: trusts(f.Remote.Addr()), ServerName: plainName(f.Hello),
	}
	if f.Original.IsValid() {
		in.Dialled, in.PublicPort = f.Original, f.Original.Port()
	}
	if f.Header != nil {
		in.fromProxyHeader(f.Header, trusts)
	}
	if h := f.Handshake; h != nil {
		in.TLS, in.ServerName, in.Identity, in.Asked = true, plainName(h.ServerName), h.Peer, h.Asked
	}
	return in
}

// fromProxyHeader has the connection be that of the client that a PROXY header names. Whether
// the client is believed is decided by its own address: what it says in its requests
// passes the balancer unseen. So one whose address is not said is not believed, but the
// balancer is, when it connects on its own behalf.
func (in *Inbound) fromProxyHeader(h *proxyproto.Header, trusts func(netip.Addr) bool) {
	switch {
	case h.Source.IsValid():
		in.Addr, in.Dialled, in.Trusted = h.Source, h.Destination, trusts(h.Source.Addr())
	case !h.Local:
		in.Trusted = false
		return
	default:
		return
	}
	if port := h.Destination.Port(); port != 0 {
		in.PublicPort = port
	}
	in.TLSOffloaded = h.Destination.Port() == httpsPort
	if h.TLS != nil {
		in.TLSOffloaded = h.TLS.Client
	}
}

// plainName is a server name as rules have it (RFC 6066 §3).
func plainName(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }
