package filter

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/reason"
)

// cors answers preflight requests and adds the response headers of the Fetch
// standard (https://fetch.spec.whatwg.org/#http-cors-protocol), as
// ingress-nginx does: for an allowed origin only, or always when any origin is.
type cors struct {
	any     bool
	origins []origin
	fields  []field
}

type field struct {
	name  string
	value []byte
}

// origin matches one origin, in any case. With a wildcard, one label stands
// between prefix and suffix.
type origin struct {
	prefix, suffix string
	wildcard       bool
}

func newCORS(r *model.Rule) (exchange.Filter, error) {
	c := r.CORS
	if c == nil {
		return nil, nil
	}
	f := &cors{any: len(c.AllowOrigins) == 1 && c.AllowOrigins[0] == "*"}
	for _, o := range c.AllowOrigins {
		prefix, suffix, wildcard := strings.Cut(o, "*")
		f.origins = append(f.origins, origin{prefix, suffix, wildcard})
	}
	f.add("Access-Control-Allow-Methods", c.AllowMethods)
	f.add("Access-Control-Allow-Headers", c.AllowHeaders)
	f.add("Access-Control-Expose-Headers", c.ExposeHeaders)
	if c.Credentials {
		f.add("Access-Control-Allow-Credentials", "true")
	}
	if c.MaxAge > 0 {
		f.add("Access-Control-Max-Age", strconv.Itoa(c.MaxAge))
	}
	for _, one := range f.fields {
		if !msg.IsValue(one.value) {
			return nil, fmt.Errorf("a control character in %s", one.name)
		}
	}
	return f, nil
}

func (f *cors) add(name, value string) {
	if value != "" {
		f.fields = append(f.fields, field{name, []byte(value)})
	}
}

func (f *cors) Request(x *exchange.Exchange) bool {
	if string(x.Req.Bytes(x.Req.Method)) != "OPTIONS" || !f.allows(x.Req.Get(msg.Origin)) {
		return false
	}
	x.Answer(204, reason.Answered)
	return true
}

func (f *cors) Response(x *exchange.Exchange) {
	from := x.Req.Get(msg.Origin)
	if !f.allows(from) {
		return
	}
	for _, one := range f.fields {
		x.Resp.SetName(one.name, one.value)
	}
	if f.any {
		x.Resp.SetName("Access-Control-Allow-Origin", []byte("*"))
		return
	}
	x.Resp.SetName("Access-Control-Allow-Origin", from)
	x.Resp.Add(msg.OtherField, "Vary", []byte("Origin"))
}

func (f *cors) allows(from []byte) bool {
	if f.any {
		return true
	}
	for _, o := range f.origins {
		if o.matches(from) {
			return true
		}
	}
	return false
}

func (o origin) matches(from []byte) bool {
	if !o.wildcard {
		return msg.EqualFold(from, o.prefix)
	}
	n := len(from) - len(o.suffix)
	if n <= len(o.prefix) || !msg.EqualFold(from[:len(o.prefix)], o.prefix) || !msg.EqualFold(from[n:], o.suffix) {
		return false
	}
	return bytes.IndexFunc(from[len(o.prefix):n], notLabel) < 0
}

func notLabel(c rune) bool {
	return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-'
}
