package http2

import (
	"bytes"

	"windrose.dev/windrose/internal/proxy/msg"
)

// pseudo is a set of pseudo-header fields (RFC 9113 §8.3).
type pseudo uint8

const (
	pseudoMethod pseudo = 1 << iota
	pseudoScheme
	pseudoAuthority
	pseudoPath
	pseudoProtocol
	pseudoStatus
)

var pseudoNames = map[string]pseudo{
	":method": pseudoMethod, ":scheme": pseudoScheme, ":authority": pseudoAuthority, ":path": pseudoPath,
	":protocol": pseudoProtocol, ":status": pseudoStatus,
}

// requestPseudo are those of requests.
const requestPseudo = pseudoMethod | pseudoScheme | pseudoAuthority | pseudoPath | pseudoProtocol

func (b *block) pseudoField(c *Conn, name, value string) {
	which := pseudoNames[name]
	switch {
	case b.kind == trailerBlock:
		b.malformed = "a pseudo-header field in a trailer section (RFC 9113 §8.1)"
	case b.regular:
		b.malformed = "a pseudo-header field behind a field (RFC 9113 §8.3)"
	case b.seen&which != 0:
		b.malformed = "a pseudo-header field twice (RFC 9113 §8.3)"
	case b.kind == requestBlock && which&requestPseudo == 0 || b.kind == responseBlock && which != pseudoStatus:
		b.malformed = "a pseudo-header field that is not known here (RFC 9113 §8.3)"
	}
	if b.malformed != "" {
		return
	}
	b.seen |= which
	s := b.stream
	switch which {
	case pseudoMethod:
		s.Head.Method = s.write(value)
		b.connect = value == "CONNECT"
	case pseudoScheme:
		s.Scheme = b.word(value)
	case pseudoProtocol:
		s.Protocol = b.word(value)
	case pseudoAuthority:
		if b.field("host", value); len(s.Head.Fields) > 0 {
			b.authority = s.Head.Fields[0].Value
		}
	case pseudoPath:
		s.Head.Target = s.write(value)
		if len(value) > c.cfg.Limits.TargetBytes {
			b.exceed(c, msg.ErrTargetTooLong)
		}
	case pseudoStatus:
		b.status(value)
	}
}

// word checks a value that goes on as it is, elsewhere.
func (b *block) word(value string) string {
	if !msg.IsToken([]byte(value)) {
		b.malformed = "a scheme or protocol that is not a token (RFC 9113 §8.3.1)"
	}
	return value
}

func (s *Stream) write(value string) msg.Span {
	start := uint32(len(s.Head.Buf))
	s.Head.Buf = append(s.Head.Buf, value...)
	return msg.Span{Start: start, End: start + uint32(len(value))}
}

func (b *block) status(value string) {
	status := 0
	for _, c := range []byte(value) {
		if c < '0' || c > '9' {
			status = 0
			break
		}
		status = 10*status + int(c-'0')
	}
	if len(value) != 3 || status < 100 || status > 599 || status == 101 {
		b.malformed = "a status that is not one (RFC 9113 §8.3.2)"
	}
	b.stream.Head.Status = status
}

// field adds a field as the line that it would be in HTTP/1.
func (b *block) field(name, value string) {
	h := &b.stream.Head
	start := uint32(len(h.Buf))
	h.Buf = append(append(append(append(h.Buf, name...), ':', ' '), value...), '\r', '\n')
	f := msg.Field{
		Name:    msg.Span{Start: start, End: start + uint32(len(name))},
		LineEnd: uint32(len(h.Buf)),
	}
	f.Value = msg.Span{Start: f.Name.End + 2, End: f.LineEnd - 2}
	if f.ID = b.classify(h.Name(&f), h.Value(&f)); b.malformed != "" {
		return
	}
	switch f.ID {
	case msg.Host:
		if b.authority.End > 0 {
			b.sameHost(h, &f)
			return
		}
		if h.Has(msg.Host) {
			b.malformed = "more than one Host field (RFC 9110 §7.2)"
			return
		}
	case msg.ContentLength:
		if b.length(h.Value(&f)); h.Has(msg.ContentLength) {
			b.malformed = "more than one Content-Length (RFC 9110 §8.6)"
		}
	case msg.Cookie:
		b.cookies++
	}
	h.Fields = append(h.Fields, f)
	if f.ID != msg.OtherField {
		h.Known |= 1 << f.ID
	}
}

// classify checks a field and finds its id.
func (b *block) classify(name, value []byte) msg.FieldID {
	ok, underscore := msg.CheckName(name)
	switch {
	case !ok || hasUpper(name):
		b.malformed = "a field name that is not a token in lower case (RFC 9113 §8.2.1)"
	case !msg.IsValue(value):
		b.malformed = "a control character in a field value (RFC 9113 §8.2.1)"
	case len(value) != len(msg.TrimOWS(value)):
		b.malformed = "a field value with white space around it (RFC 9113 §8.2.1)"
	}
	if b.malformed != "" {
		return msg.OtherField
	}
	id := msg.Classify(name, underscore)
	switch id {
	case msg.Connection, msg.KeepAlive, msg.ProxyConnection, msg.TransferEncoding, msg.Upgrade:
		b.malformed = "a field that concerns a connection (RFC 9113 §8.2.2)"
	case msg.TE:
		if !msg.EqualFold(value, "trailers") {
			b.malformed = "TE with something other than trailers (RFC 9113 §8.2.2)"
		}
	}
	return id
}

func hasUpper(b []byte) bool {
	for _, c := range b {
		if c >= 'A' && c <= 'Z' {
			return true
		}
	}
	return false
}

// sameHost leaves a Host field out that says what :authority says.
func (b *block) sameHost(h *msg.Head, f *msg.Field) {
	if !msg.EqualFold(h.Value(f), h.Bytes(b.authority)) {
		b.malformed = "a Host field that is not :authority (RFC 9113 §8.3.1)"
	}
	h.Buf = h.Buf[:f.Name.Start]
}

func (b *block) length(value []byte) {
	n, ok := msg.ParseLength(value)
	if !ok {
		b.malformed = "Content-Length is not one number (RFC 9110 §8.6)"
	}
	b.stream.Length = n
}

// trailerField keeps a trailer, unless it is one that may not stand there.
func (b *block) trailerField(name, value string) {
	s := b.stream
	start := len(s.Trailer)
	s.Trailer = append(append(append(append(s.Trailer, name...), ':', ' '), value...), '\r', '\n')
	line := s.Trailer[start:]
	id := b.classify(line[:len(name)], line[len(name)+2:len(line)-2])
	if !msg.MayTrail(id, line[:len(name)]) {
		s.Trailer = s.Trailer[:start]
	}
}

// check holds the head as a whole to the rules of RFC 9113 §8.3.
func (b *block) check(s *Stream) {
	if b.malformed != "" {
		return
	}
	switch b.kind {
	case requestBlock:
		b.checkRequest(s)
	case responseBlock:
		b.checkResponse(s)
	case trailerBlock:
		if !b.end {
			b.malformed = "a trailer section that does not end the stream (RFC 9113 §8.1)"
		} else if s.Length > s.got && !s.noBody {
			b.malformed = "a body of another length than Content-Length says (RFC 9113 §8.1.1)"
		}
	}
}

func (b *block) checkRequest(s *Stream) {
	if b.fault != nil {
		return
	}
	h := &s.Head
	h.Minor, h.Major = 1, 2
	const needed = pseudoMethod | pseudoScheme | pseudoPath
	tunnel := b.connect && b.seen&pseudoProtocol == 0
	path := h.Bytes(h.Target)
	switch {
	case b.seen&pseudoMethod == 0 || !tunnel && b.seen&needed != needed:
		b.malformed = "a request without method, scheme or path (RFC 9113 §8.3.1)"
	case !msg.IsToken(h.Bytes(h.Method)):
		b.malformed = "the method is not a token (RFC 9110 §9.1)"
	case tunnel && (b.seen&(pseudoScheme|pseudoPath) != 0 || b.seen&pseudoAuthority == 0):
		b.malformed = "CONNECT with more or less than an authority (RFC 9113 §8.5)"
	case b.seen&pseudoProtocol != 0 && (!b.connect || b.seen&pseudoAuthority == 0):
		b.malformed = "an extended CONNECT that is not one (RFC 8441 §4)"
	case !tunnel && !msg.IsTarget(path):
		b.malformed = "the path is not valid (RFC 9113 §8.3.1)"
	case !tunnel && path[0] != '/' && (string(path) != "*" || string(h.Bytes(h.Method)) != "OPTIONS"):
		b.malformed = "a path that does not start with a slash (RFC 9113 §8.3.1)"
	case b.end && s.Length > 0:
		b.malformed = "a body of another length than Content-Length says (RFC 9113 §8.1.1)"
	}
	if b.malformed != "" {
		return
	}
	if s.Protocol != "" {
		h.Method = s.write("GET")
	}
	if tunnel {
		h.Target = h.Fields[0].Value // authority-form, which nobody routes
	}
	if b.cookies > 1 {
		joinCookies(h)
	}
}

func (b *block) checkResponse(s *Stream) {
	h := &s.Head
	h.Minor, h.Major = 1, 2
	switch {
	case b.seen&pseudoStatus == 0:
		b.malformed = "an answer without a status (RFC 9113 §8.3.2)"
	case h.Status < 200 && b.end:
		b.malformed = "an interim answer that ends the stream (RFC 9113 §8.1)"
	case h.Status < 200:
		s.Length = -1
	}
	s.noBody = s.noBody || h.Status == 204 || h.Status == 304
	if b.malformed == "" && b.end && s.Length > 0 && !s.noBody {
		b.malformed = "a body of another length than Content-Length says (RFC 9113 §8.1.1)"
	}
}

// joinCookies makes one field of those that the client has split for the sake
// of compression (RFC 9113 §8.2.3).
func joinCookies(h *msg.Head) {
	var all [][]byte
	for i := range h.Fields {
		if f := &h.Fields[i]; f.ID == msg.Cookie {
			all = append(all, h.Value(f))
		}
	}
	h.Set(msg.Cookie, "cookie", bytes.Join(all, []byte("; ")))
}
