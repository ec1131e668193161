package filter

import (
	"bytes"
	"strconv"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/route"
	"windrose.dev/windrose/internal/reason"
)

// tlsRedirect redirects plain-text requests to the same URL with https.
type tlsRedirect struct {
	requestOnly
	*model.TLSRedirect
}

func newTLSRedirect(t *model.TLSRedirect) (exchange.Filter, error) {
	return tlsRedirect{TLSRedirect: t}, nil
}

func (f tlsRedirect) Request(x *exchange.Exchange) bool {
	if x.HTTPS || len(x.Host) == 0 {
		return false
	}
	for _, prefix := range f.Except {
		if route.HasPrefix(x.Path.Bytes, prefix) {
			return false
		}
	}
	location := append([]byte("https://"), withoutPort(x.Authority)...)
	if port := x.Peer.PublicPorts(f.Port); port != 443 {
		location = strconv.AppendUint(append(location, ':'), uint64(port), 10)
	}
	if x.Target.Path[0] != '*' {
		location = append(location, x.Target.Path...)
	}
	if x.Target.HasQuery {
		location = append(append(location, '?'), x.Target.Query...)
	}
	x.Answer(f.Status, reason.Redirected)
	x.Resp.Add(msg.OtherField, "Location", location)
	return true
}

// withoutPort returns a valid authority without its port.
func withoutPort(authority []byte) []byte {
	if i := bytes.LastIndexByte(authority, ':'); i >= 0 && bytes.IndexByte(authority[i:], ']') < 0 {
		return authority[:i]
	}
	return authority
}
