package compress

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/proxy/msg"
)

// DefaultTypes returns the types that ingress-nginx compresses (gzip-types), and
// text/html, which nginx always compresses.
func DefaultTypes() []string {
	return []string{
		"application/atom+xml", "application/javascript", "application/json", "application/rss+xml",
		"application/vnd.ms-fontobject", "application/x-font-ttf", "application/x-javascript",
		"application/x-web-app-manifest+json", "application/xhtml+xml", "application/xml", "font/opentype",
		"image/svg+xml", "image/x-icon", "text/css", "text/html", "text/javascript", "text/plain", "text/x-component",
	}
}

// filter decides which responses of a rule are compressed, and with which coding.
type filter struct {
	offered  []int // codings, the most preferred first
	types    []string
	all      bool // all types
	least    int64
	encoders *encoders
}

// Spec returns the row of the filter in a table. All its filters in one proxy share
// their encoders. It is the first filter of a rule: responses pass the filters in
// reverse order, so it sees what the other filters have made of them.
func Spec() exchange.FilterSpec {
	return exchange.Spec(func(env *exchange.Environment, c *model.Compress) (exchange.Filter, error) {
		f := newFilter(c, exchange.Keep(env, "compress/encoders", newEncoders))
		if slices.Contains(f.offered, none) {
			return nil, fmt.Errorf("one of %v is no encoding that is known", c.Encodings)
		}
		return f, nil
	})
}

func newFilter(c *model.Compress, shared *encoders) *filter {
	f := &filter{types: c.Types, least: c.MinLength, encoders: shared}
	if len(f.types) == 0 {
		f.types = DefaultTypes()
	}
	if f.least == 0 {
		f.least = model.DefaultCompressLength
	}
	f.all = slices.Equal(f.types, []string{"*"})
	f.offered = newOffer(c.Encodings...)
	return f
}

// newOffer returns the codings with these names.
func newOffer(names ...string) []int {
	out := make([]int, len(names))
	for i, name := range names {
		out[i] = slices.IndexFunc(codings[:], func(one coding) bool { return one.name == name })
	}
	return out
}

func (f *filter) Request(*exchange.Exchange) bool { return false }

func (f *filter) Response(x *exchange.Exchange) {
	h := &x.Resp
	if x.Answered || x.Switches || x.RecodeResponse != nil || !f.suits(h) {
		return
	}
	if msg.HasToken(x.View().Received("Cache-Control"), noTransform) {
		return
	}
	accepted := parseAccept(x.View().Received("Accept-Encoding"))
	if f.isShort(h) && !accepted.refusesIdentity() {
		return
	}
	addVary(h)
	chosen := accepted.choose(f.offered)
	if chosen == none || !takesBody(&x.Req) {
		return
	}
	if r := f.encoders.take(chosen); r != nil {
		x.RecodeResponse = r
		encode(h, codings[chosen].name)
	}
}

// takesBody reports whether the response to a request may have a body whose length is
// not declared. HTTP/1.0 could not keep the connection open without a length.
func takesBody(h *msg.Head) bool {
	return string(h.Bytes(h.Method)) != "HEAD" && h.Minor > 0
}

// suits reports whether a response may be compressed, for any client.
func (f *filter) suits(h *msg.Head) bool {
	switch h.Status {
	case 204, 205, 206, 304:
		return false
	}
	return f.hasType(h) && !isFixed(h)
}

// hasType reports whether a response has a type that is compressed.
func (f *filter) hasType(h *msg.Head) bool {
	kind, _, _ := bytes.Cut(h.Get(msg.ContentType), semicolon)
	kind = msg.TrimOWS(kind)
	if len(kind) == 0 || msg.EqualFold(kind, "text/event-stream") || isCall(kind) {
		return false
	}
	return f.all || slices.ContainsFunc(f.types, func(one string) bool { return msg.EqualFold(kind, one) })
}

// isCall reports whether a type is gRPC or gRPC-Web, whose messages are compressed one
// by one, if at all.
func isCall(kind []byte) bool {
	const prefix = "application/grpc"
	return len(kind) >= len(prefix) && msg.EqualFold(kind[:len(prefix)], prefix)
}

const noTransform = "no-transform"

// fixing are the fields that describe the exact bytes of a body.
var fixing = [...]string{"content-range", "content-md5", "digest", "content-digest", "repr-digest"}

// isFixed reports whether the bytes of a response must not be changed.
func isFixed(h *msg.Head) bool {
	for i := range h.Fields {
		f := &h.Fields[i]
		if f.Dropped || f.ID != msg.OtherField {
			continue
		}
		name := h.Name(f)
		switch {
		case msg.EqualFold(name, "content-encoding"):
			if !msg.EqualFold(h.Value(f), "identity") {
				return true
			}
		case msg.EqualFold(name, "cache-control"):
			if msg.HasToken(h.Value(f), noTransform) {
				return true
			}
		case slices.ContainsFunc(fixing[:], func(one string) bool { return msg.EqualFold(name, one) }):
			return true
		}
	}
	return false
}

// isShort reports whether a body is known to be too short for compression to pay.
func (f *filter) isShort(h *msg.Head) bool {
	n, known := msg.ParseLength(h.Get(msg.ContentLength))
	return known && n < f.least
}

// addVary adds Accept-Encoding to Vary, also if this response was not compressed, so
// that caches keep both variants (RFC 9110 §12.5.5).
func addVary(h *msg.Head) {
	var space [128]byte
	list := space[:0]
	for i := range h.Fields {
		f := &h.Fields[i]
		if f.Dropped || !msg.EqualFold(h.Name(f), vary) {
			continue
		}
		value := h.Value(f)
		if msg.HasToken(value, "*") || msg.HasToken(value, "accept-encoding") {
			return
		}
		if len(value) > 0 {
			list = append(append(list, value...), ", "...)
		}
	}
	h.SetName(vary, append(list, "Accept-Encoding"...))
}

const vary = "Vary"

// encode sets Content-Encoding. It removes the fields for the length and for ranges,
// which no longer apply.
func encode(h *msg.Head, name string) {
	var space [32]byte
	h.SetName("Content-Encoding", append(space[:0], name...))
	h.DropName(acceptRanges)
	h.Drop(msg.ContentLength)
	if tag := h.Lookup(etag); len(tag) > 0 && !strings.HasPrefix(string(tag), "W/") {
		var space [128]byte
		h.SetName(etag, append(append(space[:0], "W/"...), tag...))
	}
}

const etag = "ETag"

var acceptRanges = []byte("accept-ranges")
