package http2

import (
	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/wire/section"
)

// Request is what the head of a request has besides its fields.
type Request struct {
	Method, Scheme, Target []byte
	// Protocol is the :protocol of an extended CONNECT (RFC 8441); nil for other
	// requests.
	Protocol []byte
	// Trailers adds "te: trailers".
	Trailers bool
	// EndsApart makes the stream end with a DATA frame even if there is no body. gRPC
	// servers expect one.
	EndsApart bool
}

// SendRequest queues the head of a request. h has its fields; Host becomes :authority.
func (c *heads) SendRequest(s *Stream, r *Request, h *msg.Head, end bool) {
	c.beginHead()
	method := r.Method
	if s.noBody = string(method) == "HEAD"; r.Protocol != nil {
		method = []byte("CONNECT")
	}
	b := appendField(c.scratch, []byte(":method"), method)
	b = appendField(b, []byte(":scheme"), r.Scheme)
	if host := h.Get(msg.Host); len(host) > 0 {
		b = appendField(b, []byte(":authority"), host)
	}
	b = appendField(b, []byte(":path"), r.Target)
	if r.Protocol != nil {
		b = appendField(b, []byte(":protocol"), r.Protocol)
	}
	b = appendFields(b, h)
	if r.Trailers {
		b = appendField(b, []byte("te"), []byte("trailers"))
	}
	c.scratch = b
	c.sendBlock(s, end)
}

// SendResponse queues the head of a response, interim or final.
func (c *heads) SendResponse(s *Stream, h *msg.Head, end bool) {
	c.beginHead()
	c.scratch = appendFields(appendStatus(c.scratch, h.Status), h)
	c.sendBlock(s, end)
}

// SendTrailer queues the trailer section, and ends the stream. The lines are in the
// form of HTTP/1.
func (c *heads) SendTrailer(s *Stream, lines []byte) {
	c.beginHead()
	for len(lines) > 0 {
		var name, value []byte
		if name, value, lines = section.CutLine(lines); len(name) > 0 {
			c.scratch = appendField(c.scratch, name, value)
		}
	}
	c.sendBlock(s, true)
}

// beginHead starts a header block. The first one of a connection declares that we use
// no dynamic table (RFC 7541 §4.2).
func (c *heads) beginHead() {
	c.scratch = c.scratch[:0]
	if !c.started {
		c.started = true
		c.scratch = append(c.scratch, 0x20)
	}
}

// sendBlock queues the header block in scratch, in as many frames as it needs.
func (c *heads) sendBlock(s *Stream, end bool) {
	if !s.open || s.SentEnded {
		return
	}
	f := frame{kind: headersFrame, stream: s.ID}
	if end {
		f.flags = flagEndStream
	}
	for rest := c.scratch; ; {
		piece := rest[:min(len(rest), maxFrame)]
		rest = rest[len(piece):]
		if f.length = len(piece); len(rest) == 0 {
			f.flags |= flagEndHeaders
		}
		c.out = append(appendFrame(c.out, f), piece...)
		if f = (frame{kind: continuationFrame, stream: s.ID}); len(rest) == 0 {
			break
		}
	}
	if end {
		c.endSent(s)
	}
}

func appendFields(dst []byte, h *msg.Head) []byte {
	for i := range h.Fields {
		if f := &h.Fields[i]; section.Carried(f) {
			dst = appendField(dst, h.Name(f), h.Value(f))
		}
	}
	return dst
}
