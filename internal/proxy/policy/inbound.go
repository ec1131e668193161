package policy

import (
	"net/netip"
	"strings"

	"windrose.dev/windrose/internal/identity"
	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy/wire/proxyproto"
)

// Inbound is all that is known of a client's connection before a byte of it is
// forwarded. It is a value, and does not change while the connection is open.
type Inbound struct {
	// Listener is the listener that accepted the connection.
	Listener model.ListenerID
	// Remote is the address of the peer. Addr is the address of the client: the same,
	// or the source in a PROXY protocol header.
	Remote, Addr netip.AddrPort
	// Dialled is the address that the client connected to, here or at the load balancer
	// in front of the proxy. PublicPort is its port as clients know it.
	Dialled    netip.AddrPort
	PublicPort uint16
	// Trusted reports whether the peer is believed about who its client is.
	Trusted bool
	// TLS reports whether the proxy terminates TLS on this connection. ServerName is
	// the server name in the ClientHello, in lower case, also if the proxy does not
	// terminate TLS.
	TLS        bool
	ServerName string
	// TLSOffloaded reports whether a load balancer has terminated the client's TLS,
	// according to its PROXY protocol header.
	TLSOffloaded bool
	// Identity is the client's identity by a verified certificate; nil if it presented
	// none.
	Identity *identity.Peer
	// Asked is what the listener asked for in the handshake (a client certificate), as
	// text; empty means nothing.
	Asked string
}

// Secure reports whether the client uses TLS, as far as this is known without its
// requests.
func (in *Inbound) Secure() bool { return in.TLS || in.TLSOffloaded }

// Facts are what a listener finds out about a connection, step by step. What is not
// known yet is zero.
type Facts struct {
	Listener model.ListenerID
	// PublicPort is the port to which clients connect to reach the listener.
	PublicPort uint16
	// Remote and Local are the addresses of the connection.
	Remote, Local netip.AddrPort
	// Original is the original destination of a connection that was redirected to the
	// proxy.
	Original netip.AddrPort
	// Header is the PROXY protocol header of the connection.
	Header *proxyproto.Header
	// Hello is the server name in a ClientHello, of a connection that is not terminated
	// (yet).
	Hello string
	// Handshake is the result of a completed handshake.
	Handshake *Handshake
}

// Handshake is what a client presented in a handshake.
type Handshake struct {
	// ServerName is the server name as it was sent.
	ServerName string
	Peer       *identity.Peer
	// Asked is what the listener asked for.
	Asked string
}

// httpsPort is the destination port that means a load balancer has terminated TLS, if
// its header does not say so. ingress-nginx has the same rule.
const httpsPort = 443

// Inbound returns what the facts say about the connection. trusts reports whether a
// peer at an address is believed about who its client is.
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

// fromProxyHeader takes the client's addresses from a PROXY protocol header. Whether to
// trust the peer is then decided by the client's own address, because the load balancer
// passes on unseen what the client says in its requests. If the header has no client
// address, the peer is not trusted, except for a LOCAL header: then the load balancer
// connects on its own behalf.
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

// plainName returns a server name in the form that rules use (RFC 6066 §3).
func plainName(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }
