package exchange

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"

	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/policy"
	"windrose.dev/windrose/internal/proxy/route"
	"windrose.dev/windrose/internal/proxy/wire/http1"
)

// request is the request of an exchange, taken apart.
type request struct {
	Peer *Peer
	Req  msg.Head
	// Target is the request target taken apart.
	Target http1.Target
	// Authority is the host that was asked for, as it was written.
	Authority []byte
	// Host is the same as it is matched.
	Host []byte
	// Path is the canonical path.
	Path route.Path
	// HTTPS reports whether the client speaks TLS, to us or to a trusted peer.
	HTTPS bool
	// dialled is the port that a trusted peer says the client dialled, or 0.
	dialled uint16
	// BodyLength is the length of the request's body, -1 when it is not known
	// before its end.
	BodyLength int64
	RequestID  []byte
	// Rewritten is the target that goes to the backend; nil is the client's.
	Rewritten []byte

	view                                     policy.Request // what the rules look at
	pathScratch, targetScratch, chainScratch []byte
	hostScratch                              [256]byte
	idScratch                                [32]byte
}

// reset makes x ready for the next request. It keeps its memory.
func (x *request) reset() {
	x.Req.Reset()
	x.view.Reset()
	*x = request{
		Req: x.Req, view: x.view,
		pathScratch: x.pathScratch, targetScratch: x.targetScratch, chainScratch: x.chainScratch,
	}
}

// read finds host and path in the request.
func (x *request) read() (err error) {
	h := &x.Req
	if x.Target, err = http1.SplitTarget(h.Bytes(h.Method), h.Bytes(h.Target)); err != nil {
		return err
	}
	x.Authority = h.Get(msg.Host)
	if x.Target.Authority != nil {
		x.Authority = x.Target.Authority
		h.Set(msg.Host, "Host", x.Authority)
	}
	if x.Authority != nil {
		if x.Host, err = http1.HostName(x.Authority, x.hostScratch[:]); err != nil {
			return err
		}
	}
	var ok bool
	if x.Path, x.pathScratch, ok = route.Canonical(x.Target.Path, x.pathScratch); !ok {
		return http1.ErrTarget
	}
	x.HTTPS = x.Peer.Secure()
	if x.Peer.Trusted {
		x.believe()
	}
	x.look()
	return nil
}

// believe reads what a trusted peer says of how the client came.
func (x *request) believe() {
	if proto := x.Req.Get(msg.XForwardedProto); proto != nil {
		x.HTTPS = msg.EqualFold(proto, "https")
	}
	if port, ok := msg.ParsePort(x.Req.Get(msg.XForwardedPort)); ok {
		x.dialled = port
	}
}

// Scheme is that of the URL that the client asked for.
func (x *request) Scheme() string {
	if x.HTTPS {
		return "https"
	}
	return "http"
}

// DialledPort is the port that the client connected to, here or at a trusted
// peer before us. Of one that takes TLS off and does not say, it is the
// scheme's.
func (x *request) DialledPort() uint16 {
	switch {
	case x.dialled != 0:
		return x.dialled
	case x.HTTPS == x.Peer.Secure():
		return x.Peer.PublicPort
	case x.HTTPS:
		return 443
	}
	return 80
}

// look gathers what the rules look at.
func (x *request) look() {
	v := &x.view
	v.Host, v.Authority, v.Path = x.Host, x.Authority, x.Path.Bytes
	v.Method, v.Query = x.Req.Bytes(x.Req.Method), x.Target.Query
	v.Head, v.Trusted, v.Trusts = &x.Req, x.Peer.Trusted, x.Peer.Trusts
	v.From, v.HTTPS = &x.Peer.Inbound, x.HTTPS
}

// View is what rules look at in the request. It may be kept, and read by
// others, as long as the request's head stays as it is.
func (x *request) View() *policy.Request { return &x.view }

// identify gives the request its id: the client's own, when it is a sane one,
// or a new one.
func (x *request) identify() {
	if id := x.Req.Get(msg.XRequestID); len(id) > 0 && len(id) <= 128 && msg.IsToken(id) && x.Req.Count(msg.XRequestID) == 1 {
		x.RequestID = id
		return
	}
	var raw [16]byte
	binary.LittleEndian.PutUint64(raw[:], rand.Uint64())
	binary.LittleEndian.PutUint64(raw[8:], rand.Uint64())
	hex.Encode(x.idScratch[:], raw[:])
	x.RequestID = x.idScratch[:]
	x.Req.Set(msg.XRequestID, "X-Request-ID", x.RequestID)
}

// ForwardTarget is the target that goes to the backend: a filter's, or the
// client's own bytes, or the canonical path where the client's had dot
// segments.
func (x *request) ForwardTarget() []byte {
	switch {
	case x.Rewritten != nil:
		return x.Rewritten
	case x.Path.DotsRemoved:
		x.targetScratch = x.appendQuery(append(x.targetScratch[:0], x.Path.Bytes...))
		return x.targetScratch
	case x.Target.Authority != nil:
		x.targetScratch = x.appendQuery(append(x.targetScratch[:0], x.Target.Path...))
		return x.targetScratch
	}
	return x.Req.Bytes(x.Req.Target)
}

func (x *request) appendQuery(dst []byte) []byte {
	if x.Target.HasQuery {
		dst = append(append(dst, '?'), x.Target.Query...)
	}
	return dst
}
