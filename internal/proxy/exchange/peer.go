package exchange

import (
	"net/netip"
	"strconv"

	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/policy"
)

// Peer is a client's connection as its requests see it. It does not change while the
// connection lives.
type Peer struct {
	policy.Inbound
	// Trusts reports whether peers at an address are believed when they say who their
	// client is.
	Trusts func(netip.Addr) bool
	// PublicPorts tells what clients dial to reach another listener of the same
	// Gateway.
	PublicPorts func(port uint16) uint16

	fields     *msg.Block // that say to backends who the client is
	clientCert []byte     // as X-Forwarded-Client-Cert has it
	ip, port   []byte
}

// Prepare makes what a Peer keeps for its requests. It is for those whose
// requests come at the same time.
func (p *Peer) Prepare() { p.fields = p.newFields() }

func (p *Peer) newFields() *msg.Block {
	var h msg.Head
	scheme := schemeOf(p.Secure())
	p.ip = []byte(p.Addr.Addr().Unmap().WithZone("").String())
	p.port = strconv.AppendUint(nil, uint64(p.PublicPort), 10)
	h.Add(msg.XForwardedFor, "X-Forwarded-For", p.ip)
	h.Add(msg.XRealIP, "X-Real-IP", p.ip)
	h.Add(msg.XForwardedPort, "X-Forwarded-Port", p.port)
	h.Add(msg.XForwardedProto, "X-Forwarded-Proto", scheme)
	h.Add(msg.XForwardedScheme, "X-Forwarded-Scheme", scheme)
	h.Add(msg.XScheme, "X-Scheme", scheme)
	if p.Identity != nil {
		p.clientCert = forwardedClientCert(p.Identity)
		h.Add(msg.XForwardedClientCert, clientCertName, p.clientCert)
	}
	return msg.NewBlock(&h)
}

var schemeHTTP, schemeHTTPS = []byte("http"), []byte("https")

func schemeOf(tls bool) []byte {
	if tls {
		return schemeHTTPS
	}
	return schemeHTTP
}

// identityFields are believed only from trusted peers.
var identityFields = [...]msg.FieldID{
	msg.Forwarded, msg.XForwardedFor, msg.XForwardedHost, msg.XForwardedPort, msg.XForwardedProto,
	msg.XForwardedScheme, msg.XForwardedPrefix, msg.XForwardedClientCert, msg.XOriginalForwardedFor,
	msg.XScheme, msg.XRealIP, msg.Spoof,
}

// setIdentity says to the backend who the client is, in the fields that
// ingress-nginx sets.
func (x *request) setIdentity() {
	h, p := &x.Req, x.Peer
	if p.Trusted {
		x.extendIdentity()
		return
	}
	for _, id := range identityFields {
		h.Drop(id)
	}
	if p.fields == nil {
		p.Prepare()
	}
	h.AddBlock(p.fields)
	h.Add(msg.XForwardedHost, "X-Forwarded-Host", x.Authority)
}

// extendIdentity keeps what a trusted peer says and adds the peer itself to
// the chain.
func (x *request) extendIdentity() {
	h, p := &x.Req, x.Peer
	if p.fields == nil {
		p.Prepare()
	}
	chain := h.AppendList(x.chainScratch[:0], msg.XForwardedFor)
	if len(chain) > 0 {
		chain = append(chain, ", "...)
	}
	x.chainScratch = append(chain, p.ip...)
	h.Set(msg.XForwardedFor, "X-Forwarded-For", x.chainScratch)
	scheme := schemeOf(x.HTTPS)
	h.Set(msg.XRealIP, "X-Real-IP", x.clientIP())
	if h.Count(msg.XForwardedProto) > 1 {
		h.Set(msg.XForwardedProto, "X-Forwarded-Proto", scheme) // one alone was believed
	}
	x.setMissing(msg.XForwardedHost, "X-Forwarded-Host", x.Authority)
	x.setMissing(msg.XForwardedPort, "X-Forwarded-Port", p.port)
	x.setMissing(msg.XForwardedProto, "X-Forwarded-Proto", scheme)
	x.setMissing(msg.XForwardedScheme, "X-Forwarded-Scheme", scheme)
	x.setMissing(msg.XScheme, "X-Scheme", scheme)
	if p.clientCert != nil {
		before := h.AppendList(nil, msg.XForwardedClientCert)
		if len(before) > 0 {
			before = append(before, ',')
		}
		h.Set(msg.XForwardedClientCert, clientCertName, append(before, p.clientCert...))
	}
}

// clientIP is the address of the client that a trusted peer speaks for.
func (x *request) clientIP() []byte {
	if client := policy.ClientOf(x.chainScratch, x.Peer.Trusts); client != nil {
		return client
	}
	return x.Peer.ip
}

func (x *request) setMissing(id msg.FieldID, name string, value []byte) {
	if !x.Req.Has(id) {
		x.Req.Add(id, name, value)
	}
}
