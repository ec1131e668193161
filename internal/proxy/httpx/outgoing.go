package httpx

import (
	"bytes"
	"strconv"

	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/wire/http1"
	"windrose.dev/windrose/internal/proxy/wire/http2"
)

// outgoing is a request as it goes to a backend, and the first of its body.
type outgoing struct {
	head   *msg.Head
	target []byte
	length int64 // of the body, or -1
	// upgrade is the protocol to switch to; nil asks for none.
	upgrade *upgrade
	// trailers tells that they are wanted, and call that the request is one of gRPC.
	trailers, call bool
	// secure tells that the backend is spoken to over TLS.
	secure bool
	part
}

// detached is the request without its body, for those who keep it as long as they
// like.
func (o *outgoing) detached() outgoing {
	out := *o
	out.head, out.target, out.part = o.head.Clone(), bytes.Clone(o.target), part{}
	return out
}

// method is the request's.
func (o *outgoing) method() []byte { return o.head.Bytes(o.head.Method) }

// appendHTTP1 writes the head as HTTP/1 has it.
func (o *outgoing) appendHTTP1(dst []byte) []byte {
	h := o.head
	dst = http1.AppendRequestLine(dst, o.method(), o.target)
	if !h.Has(msg.Host) {
		dst = append(dst, "Host: \r\n"...)
	}
	dst = http1.AppendFields(dst, h)
	switch {
	case o.length < 0:
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
	case o.length > 0 && !h.Has(msg.ContentLength):
		// Later versions need no Content-Length, and here the body would be taken for
		// the next request.
		dst = strconv.AppendInt(append(dst, "Content-Length: "...), o.length, 10)
		dst = append(dst, '\r', '\n')
	}
	if o.trailers {
		dst = append(dst, "Connection: TE\r\nTE: trailers\r\n"...)
	}
	if o.upgrade != nil {
		dst = o.upgrade.appendFields(dst)
	}
	return append(dst, '\r', '\n')
}

// http2 is the part of the head that HTTP/2 has beside the fields.
func (o *outgoing) http2() http2.Request {
	r := http2.Request{Method: o.method(), Scheme: schemeHTTP, Target: o.target, Trailers: o.trailers, EndsApart: o.call}
	if o.secure {
		r.Scheme = schemeHTTPS
	}
	return r
}

var schemeHTTP, schemeHTTPS = []byte("http"), []byte("https")

// appendPart frames a part of a body whose length is given, or -1.
func appendPart(dst []byte, p part, length int64) []byte {
	if length >= 0 {
		return append(dst, p.data...)
	}
	if dst = appendChunk(dst, p.data); p.last {
		dst = http1.AppendLastChunk(dst, p.trailer)
	}
	return dst
}

func appendChunk(dst, data []byte) []byte {
	if len(data) == 0 {
		return dst
	}
	dst = append(http1.AppendChunkHead(dst, len(data)), data...)
	return append(dst, '\r', '\n')
}
