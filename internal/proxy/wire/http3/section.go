package http3

import (
	"bytes"

	"windrose.dev/windrose/internal/proxy/msg"
)

// section is a field section that is being read. The rules are those that
// package http2 holds HTTP/2 to; a test compares the two.
type section struct {
	r       *Reader
	trailer bool

	fields    int
	size      int // as SETTINGS_MAX_FIELD_SECTION_SIZE counts
	seen      pseudo
	regular   bool // a field that is no pseudo-header was seen
	cookies   int
	scheme    string
	authority msg.Span
	connect   bool
	fault     *msg.Error // a limit that is broken
	malformed string     // a rule that is
}

// pseudo is a set of pseudo-header fields (RFC 9114 §4.3.1).
type pseudo uint8

const (
	pseudoMethod pseudo = 1 << iota
	pseudoScheme
	pseudoAuthority
	pseudoPath
)

func pseudoOf(name string) pseudo {
	switch name {
	case ":method":
		return pseudoMethod
	case ":scheme":
		return pseudoScheme
	case ":authority":
		return pseudoAuthority
	case ":path":
		return pseudoPath
	}
	return 0
}

// add takes one field.
func (s *section) add(name, value string) {
	if s.malformed != "" || s.fault != nil {
		return // read for the decoder's sake only
	}
	s.fields++
	s.size += len(name) + len(value) + 32
	limits := &s.r.limits
	switch {
	case s.size > limits.HeadBytes:
		s.fault = msg.ErrHeadTooLong
	case s.fields > limits.Fields:
		s.fault = msg.ErrTooManyFields
	case name == "":
		s.malformed = "a field without a name (RFC 9114 §4.2)"
	case name[0] == ':':
		s.pseudoField(name, value)
	case s.trailer:
		s.trailerField(name, value)
	default:
		s.regular = true
		s.field(name, value)
	}
}

func (s *section) pseudoField(name, value string) {
	which := pseudoOf(name)
	switch {
	case s.trailer:
		s.malformed = "a pseudo-header field in a trailer section (RFC 9114 §4.3)"
	case s.regular:
		s.malformed = "a pseudo-header field behind a field (RFC 9114 §4.3)"
	case which == 0:
		s.malformed = "a pseudo-header field that is not known here (RFC 9114 §4.3)"
	case s.seen&which != 0:
		s.malformed = "a pseudo-header field twice (RFC 9114 §4.3)"
	}
	if s.malformed != "" {
		return
	}
	s.seen |= which
	h := &s.r.Head
	switch which {
	case pseudoMethod:
		h.Method, s.connect = s.write(value), value == "CONNECT"
	case pseudoScheme:
		if s.scheme = value; !msg.IsToken([]byte(value)) {
			s.malformed = "a scheme that is not a token (RFC 9114 §4.3.1)"
		}
	case pseudoPath:
		if h.Target = s.write(value); len(value) > s.r.limits.TargetBytes {
			s.fault = msg.ErrTargetTooLong
		}
	case pseudoAuthority:
		if s.field("host", value); len(h.Fields) > 0 {
			s.authority = h.Fields[0].Value
		}
	}
}

func (s *section) write(value string) msg.Span {
	h := &s.r.Head
	start := uint32(len(h.Buf))
	h.Buf = append(h.Buf, value...)
	return msg.Span{Start: start, End: uint32(len(h.Buf))}
}

// field adds a field as the line that it would be in HTTP/1.
func (s *section) field(name, value string) {
	h := &s.r.Head
	start := uint32(len(h.Buf))
	h.Buf = append(append(append(append(h.Buf, name...), ": "...), value...), '\r', '\n')
	f := msg.Field{Name: msg.Span{Start: start, End: start + uint32(len(name))}, LineEnd: uint32(len(h.Buf))}
	f.Value = msg.Span{Start: f.Name.End + 2, End: f.LineEnd - 2}
	if f.ID = s.classify(h.Name(&f), h.Value(&f)); s.malformed != "" {
		return
	}
	switch f.ID {
	case msg.Host:
		if s.secondHost(h, &f) {
			return
		}
	case msg.ContentLength:
		s.length(h.Value(&f))
	case msg.Cookie:
		s.cookies++
	}
	h.Fields = append(h.Fields, f)
	if f.ID != msg.OtherField {
		h.Known |= 1 << f.ID
	}
}

// classify checks a field and finds its id.
func (s *section) classify(name, value []byte) msg.FieldID {
	ok, underscore := msg.CheckName(name)
	switch {
	case !ok || hasUpper(name):
		s.malformed = "a field name that is not a token in lower case (RFC 9114 §4.2)"
	case !msg.IsValue(value):
		s.malformed = "a control character in a field value (RFC 9114 §10.3)"
	case len(value) != len(msg.TrimOWS(value)):
		s.malformed = "a field value with white space around it (RFC 9110 §5.5)"
	}
	if s.malformed != "" {
		return msg.OtherField
	}
	id := msg.Classify(name, underscore)
	switch id {
	case msg.Connection, msg.KeepAlive, msg.ProxyConnection, msg.TransferEncoding, msg.Upgrade:
		s.malformed = "a field that concerns a connection (RFC 9114 §4.2)"
	case msg.TE:
		if !msg.EqualFold(value, "trailers") {
			s.malformed = "TE with something other than trailers (RFC 9114 §4.2)"
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

// secondHost leaves a Host field out that says what :authority says. It returns
// whether there is one already.
func (s *section) secondHost(h *msg.Head, f *msg.Field) bool {
	switch {
	case s.authority.End > 0:
		if !msg.EqualFold(h.Value(f), h.Bytes(s.authority)) {
			s.malformed = "a Host field that is not :authority (RFC 9114 §4.3.1)"
		}
		h.Buf = h.Buf[:f.Name.Start]
	case h.Has(msg.Host):
		s.malformed = "more than one Host field (RFC 9110 §7.2)"
	default:
		return false
	}
	return true
}

func (s *section) length(value []byte) {
	n, ok := msg.ParseLength(value)
	switch {
	case !ok:
		s.malformed = "Content-Length is not one number (RFC 9110 §8.6)"
	case s.r.Head.Has(msg.ContentLength):
		s.malformed = "more than one Content-Length (RFC 9110 §8.6)"
	}
	s.r.Length = n
}

// trailerField keeps a trailer, unless it is one that may not stand there.
func (s *section) trailerField(name, value string) {
	r := s.r
	start := len(r.Trailer)
	r.Trailer = append(append(append(append(r.Trailer, name...), ": "...), value...), '\r', '\n')
	line := r.Trailer[start:]
	id := s.classify(line[:len(name)], line[len(name)+2:len(line)-2])
	if !msg.MayTrail(id, line[:len(name)]) {
		r.Trailer = r.Trailer[:start]
	}
}

// end holds the section as a whole to the rules.
func (s *section) end() error {
	switch {
	case s.malformed == "" && s.trailer && s.fault != nil:
		return &StreamError{ExcessiveLoad, s.fault.Text}
	case s.malformed == "" && s.fault != nil:
		s.r.Fault = s.fault
		return nil
	case s.malformed == "" && !s.trailer:
		s.malformed = s.requestFault()
	}
	if s.malformed != "" {
		return malformed(s.malformed)
	}
	if s.cookies > 1 {
		joinCookies(&s.r.Head)
	}
	return nil
}

// requestFault says how a head breaks the rules of RFC 9114 §4.3.1 and §4.4, or
// nothing.
func (s *section) requestFault() string {
	const needed = pseudoMethod | pseudoScheme | pseudoPath
	h := &s.r.Head
	path := h.Bytes(h.Target)
	switch {
	case s.seen&pseudoMethod == 0:
		return "a request without a method (RFC 9114 §4.3.1)"
	case !msg.IsToken(h.Bytes(h.Method)):
		return "the method is not a token (RFC 9110 §9.1)"
	case s.connect:
		return s.connectFault()
	case s.seen&needed != needed:
		return "a request without scheme or path (RFC 9114 §4.3.1)"
	case !msg.IsTarget(path):
		return "the path is not valid (RFC 9114 §4.3.1)"
	case path[0] != '/' && (string(path) != "*" || string(h.Bytes(h.Method)) != "OPTIONS"):
		return "a path that does not start with a slash (RFC 9114 §4.3.1)"
	case (s.scheme == "https" || s.scheme == "http") && len(h.Get(msg.Host)) == 0:
		return "a request without an authority (RFC 9114 §4.3.1)"
	}
	return ""
}

// connectFault says what is wrong with a CONNECT, whose authority becomes the
// target, which nobody routes.
func (s *section) connectFault() string {
	if s.seen != pseudoMethod|pseudoAuthority {
		return "CONNECT with more or less than an authority (RFC 9114 §4.4)"
	}
	s.r.Head.Target = s.authority
	return ""
}

// joinCookies makes one field of those that the client has split for the sake
// of compression (RFC 9114 §4.2.1).
func joinCookies(h *msg.Head) {
	var all [][]byte
	for i := range h.Fields {
		if f := &h.Fields[i]; f.ID == msg.Cookie {
			all = append(all, h.Value(f))
		}
	}
	h.Set(msg.Cookie, "cookie", bytes.Join(all, []byte("; ")))
}
