package filter

import (
	"bytes"
	"slices"
	"strings"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/reason"
)

// fetchCORS implements CORS by the Fetch standard and HTTPCORSFilter of the Gateway
// API. A preflight request is OPTIONS with Origin and Access-Control-Request-Method. It
// always gets a locally generated response, which has CORS fields only for an allowed
// origin. Other requests are forwarded.
type fetchCORS struct {
	any         bool
	credentials bool
	origins     []origin
	preflight   []field
	actual      []field
	// anyMethod and anyHeader allow what a preflight asks for, by echoing it: for
	// requests with credentials, a star would be a literal name.
	anyMethod, anyHeader bool
}

func newFetchCORS(c *model.CORS) (exchange.Filter, error) {
	f := &fetchCORS{
		any: slices.Contains(c.AllowOrigins, "*"), credentials: c.Credentials,
		anyMethod: hasStar(c.AllowMethods), anyHeader: hasStar(c.AllowHeaders),
	}
	for _, o := range c.AllowOrigins {
		prefix, suffix, wildcard := strings.Cut(string(withoutOwnPort([]byte(o))), "*")
		f.origins = append(f.origins, origin{prefix, suffix, wildcard, true})
	}
	expose := c.ExposeHeaders
	if c.Credentials && hasStar(expose) {
		expose = ""
	}
	f.actual = appendFields(nil,
		"Access-Control-Allow-Credentials", trueIf(c.Credentials), "Access-Control-Expose-Headers", expose)
	f.preflight = appendFields(slices.Clone(f.actual), "Access-Control-Max-Age", positive(c.MaxAge))
	if !f.anyMethod {
		f.preflight = appendFields(f.preflight, allowMethods, c.AllowMethods)
	}
	if !f.anyHeader {
		f.preflight = appendFields(f.preflight, allowHeaders, c.AllowHeaders)
	}
	return f, checkFields(f.preflight)
}

const (
	allowMethods  = "Access-Control-Allow-Methods"
	allowHeaders  = "Access-Control-Allow-Headers"
	requestMethod = "Access-Control-Request-Method"
	requestFields = "Access-Control-Request-Headers"
)

// hasStar reports whether a list contains a star.
func hasStar(list string) bool { return msg.HasToken([]byte(list), "*") }

// ownPorts are the default ports of schemes.
var ownPorts = [...]struct{ scheme, port string }{{"http://", ":80"}, {"https://", ":443"}}

// withoutOwnPort cuts off the default port of an origin's scheme.
func withoutOwnPort(from []byte) []byte {
	for _, own := range ownPorts {
		if n := len(own.scheme); len(from) > n && msg.EqualFold(from[:n], own.scheme) {
			return bytes.TrimSuffix(from, []byte(own.port))
		}
	}
	return from
}

// received returns a field as the client sent it, whatever other filters did.
func received(x *exchange.Exchange, name string) []byte { return x.View().Received(name) }

// isPreflight reports whether a request is a CORS preflight request.
func isPreflight(x *exchange.Exchange) bool {
	return string(x.Req.Bytes(x.Req.Method)) == "OPTIONS" && received(x, "Origin") != nil && received(x, requestMethod) != nil
}

func (f *fetchCORS) Request(x *exchange.Exchange) bool {
	if !isPreflight(x) {
		return false
	}
	x.Answer(200, reason.Answered)
	return true
}

func (f *fetchCORS) Response(x *exchange.Exchange) {
	from := received(x, "Origin")
	star := f.any && !f.credentials
	if !star {
		x.Resp.Add(msg.OtherField, "Vary", []byte("Origin"))
	}
	if from == nil || !f.any && !anyMatches(f.origins, withoutOwnPort(from)) {
		return
	}
	if star {
		from = []byte("*")
	}
	x.Resp.SetName(allowOrigin, from)
	if !isPreflight(x) {
		setFields(&x.Resp, f.actual)
		return
	}
	setFields(&x.Resp, f.preflight)
	f.sayBack(x, f.anyMethod, requestMethod, allowMethods)
	f.sayBack(x, f.anyHeader, requestFields, allowHeaders)
}

// sayBack echoes what the preflight asks for if anything is allowed, and otherwise
// sends the list of what is allowed.
func (f *fetchCORS) sayBack(x *exchange.Exchange, anything bool, asked, allowed string) {
	if value := received(x, asked); anything && value != nil {
		x.Resp.SetName(allowed, value)
	}
}
