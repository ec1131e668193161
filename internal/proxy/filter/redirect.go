package filter

import (
	"strconv"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/reason"
)

// redirect responds with a redirect to the request's URL with parts of it replaced, as
// specified for HTTPRequestRedirect of the Gateway API.
type redirect struct {
	requestOnly
	*model.Redirect
	path *pathEdit
}

func newRedirect(r *model.Redirect) (exchange.Filter, error) {
	return &redirect{Redirect: r, path: newPathEdit(r.Path)}, nil
}

// schemePorts are the default ports, which a URL omits.
var schemePorts = map[string]uint16{"http": 80, "https": 443}

func (f *redirect) Request(x *exchange.Exchange) bool {
	scheme := f.Scheme
	if scheme == "" {
		scheme = x.Scheme()
	}
	location := make([]byte, 0, 128)
	if host := f.host(x); len(host) > 0 {
		location = append(append(append(location, scheme...), "://"...), host...)
		if port := f.port(x, scheme); port != schemePorts[scheme] {
			location = strconv.AppendUint(append(location, ':'), uint64(port), 10)
		}
	}
	location = f.appendPath(location, x)
	if x.Target.HasQuery {
		location = append(append(location, '?'), x.Target.Query...)
	}
	x.Answer(f.Status, reason.Redirected)
	x.Resp.Add(msg.OtherField, "Location", location)
	return true
}

// host returns the host of the new URL. It may be empty, because an HTTP/1.0 request
// need not have a Host; Location is then relative.
func (f *redirect) host(x *exchange.Exchange) []byte {
	if f.Host != "" {
		return []byte(f.Host)
	}
	return withoutPort(x.Authority)
}

// port returns the port of the rule, or else the default port of the new scheme, or
// else the port to which the client connected. A port of this proxy is replaced by its
// published port.
func (f *redirect) port(x *exchange.Exchange, scheme string) uint16 {
	port := f.Port
	switch {
	case port == 0 && f.Scheme == "":
		return x.DialledPort()
	case port == 0:
		port = schemePorts[scheme]
	}
	if f.Host != "" {
		return port
	}
	return x.Peer.PublicPorts(port)
}

func (f *redirect) appendPath(dst []byte, x *exchange.Exchange) []byte {
	if f.path != nil {
		if out, edited := f.path.appendTo(dst, x); edited {
			return out
		}
	}
	if x.Target.Path[0] == '*' {
		return append(dst, '/')
	}
	return append(dst, x.Target.Path...)
}
