package filter

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/reason"
)

// cors responds to preflight requests and adds the response header fields of the Fetch
// standard (https://fetch.spec.whatwg.org/#http-cors-protocol), as ingress-nginx does:
// only for an allowed origin, or always if any origin is allowed.
type cors struct {
	any     bool
	origins []origin
	fields  []field
}

type field struct {
	name  string
	value []byte
}

// origin matches one origin, case-insensitively. With a wildcard, one label is between
// prefix and suffix, or any number of labels if it is deep.
type origin struct {
	prefix, suffix string
	wildcard, deep bool
}

func newCORS(c *model.CORS) (exchange.Filter, error) {
	if c.Fetch {
		return newFetchCORS(c)
	}
	f := &cors{any: len(c.AllowOrigins) == 1 && c.AllowOrigins[0] == "*"}
	for _, o := range c.AllowOrigins {
		prefix, suffix, wildcard := strings.Cut(o, "*")
		f.origins = append(f.origins, origin{prefix, suffix, wildcard, false})
	}
	f.fields = appendFields(nil,
		"Access-Control-Allow-Methods", c.AllowMethods,
		"Access-Control-Allow-Headers", c.AllowHeaders,
		"Access-Control-Expose-Headers", c.ExposeHeaders,
		"Access-Control-Allow-Credentials", trueIf(c.Credentials),
		"Access-Control-Max-Age", positive(c.MaxAge))
	return f, checkFields(f.fields)
}

// appendFields appends the fields that have a value. namesAndValues alternates names
// and values.
func appendFields(fields []field, namesAndValues ...string) []field {
	for pair := range slices.Chunk(namesAndValues, 2) {
		if pair[1] != "" {
			fields = append(fields, field{pair[0], []byte(pair[1])})
		}
	}
	return fields
}

func trueIf(on bool) string {
	if on {
		return "true"
	}
	return ""
}

func positive(n int) string {
	if n > 0 {
		return strconv.Itoa(n)
	}
	return ""
}

func checkFields(fields []field) error {
	for _, one := range fields {
		if !msg.IsValue(one.value) {
			return fmt.Errorf("a control character in %s", one.name)
		}
	}
	return nil
}

func (f *cors) Request(x *exchange.Exchange) bool {
	if string(x.Req.Bytes(x.Req.Method)) != "OPTIONS" || !f.allows(x.Req.Get(msg.Origin)) {
		return false
	}
	x.Answer(204, reason.Answered)
	return true
}

func (f *cors) Response(x *exchange.Exchange) {
	from := received(x, "Origin")
	if !f.allows(from) {
		return
	}
	setFields(&x.Resp, f.fields)
	if f.any {
		x.Resp.SetName(allowOrigin, []byte("*"))
		return
	}
	x.Resp.SetName(allowOrigin, from)
	x.Resp.Add(msg.OtherField, "Vary", []byte("Origin"))
}

const allowOrigin = "Access-Control-Allow-Origin"

func setFields(h *msg.Head, fields []field) {
	for _, one := range fields {
		h.SetName(one.name, one.value)
	}
}

func (f *cors) allows(from []byte) bool { return f.any || anyMatches(f.origins, from) }

func anyMatches(origins []origin, from []byte) bool {
	for i := range origins {
		if origins[i].matches(from) {
			return true
		}
	}
	return false
}

func (o *origin) matches(from []byte) bool {
	if !o.wildcard {
		return msg.EqualFold(from, o.prefix)
	}
	n := len(from) - len(o.suffix)
	if n <= len(o.prefix) || !msg.EqualFold(from[:len(o.prefix)], o.prefix) || !msg.EqualFold(from[n:], o.suffix) {
		return false
	}
	labels := from[len(o.prefix):n]
	if o.deep {
		return bytes.IndexFunc(labels, notLabels) < 0 && labels[0] != '.'
	}
	return bytes.IndexFunc(labels, notLabel) < 0
}

func notLabel(c rune) bool {
	return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-'
}

func notLabels(c rune) bool { return c != '.' && notLabel(c) }
