package section

import "windrose.dev/windrose/internal/proxy/msg"

// field adds a field as the line that it would be in HTTP/1.
func (s *Section) field(name, value string) {
	h := s.Head
	start := uint32(len(h.Buf))
	h.Buf = appendLine(h.Buf, name, value)
	f := msg.Field{Name: msg.Span{Start: start, End: start + uint32(len(name))}, LineEnd: uint32(len(h.Buf))}
	f.Value = msg.Span{Start: f.Name.End + 2, End: f.LineEnd - 2}
	if f.ID = s.classify(h.Name(&f), h.Value(&f)); s.Malformed != "" {
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

func appendLine(dst []byte, name, value string) []byte {
	return append(append(append(append(dst, name...), ':', ' '), value...), '\r', '\n')
}

// classify checks a field and returns its id.
func (s *Section) classify(name, value []byte) msg.FieldID {
	ok, underscore := msg.CheckName(name)
	switch {
	case !ok || hasUpper(name):
		s.Malformed = "a field name that is not a token in lower case (RFC 9113 §8.2.1, RFC 9114 §4.2)"
	case !msg.IsValue(value):
		s.Malformed = "a control character in a field value (RFC 9113 §8.2.1, RFC 9114 §10.3)"
	case len(value) != len(msg.TrimOWS(value)):
		s.Malformed = "a field value with white space around it (RFC 9113 §8.2.1, RFC 9110 §5.5)"
	}
	if s.Malformed != "" {
		return msg.OtherField
	}
	id := msg.Classify(name, underscore)
	switch id {
	case msg.Connection, msg.KeepAlive, msg.ProxyConnection, msg.TransferEncoding, msg.Upgrade:
		s.Malformed = "a field that concerns a connection (RFC 9113 §8.2.2, RFC 9114 §4.2)"
	case msg.TE:
		if !msg.EqualFold(value, "trailers") {
			s.Malformed = "TE with something other than trailers (RFC 9113 §8.2.2, RFC 9114 §4.2)"
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

// secondHost checks a Host field against an earlier one or :authority. It returns true
// if the field must not be added.
func (s *Section) secondHost(h *msg.Head, f *msg.Field) bool {
	switch {
	case s.authority.End > 0:
		if !msg.EqualFold(h.Value(f), h.Bytes(s.authority)) {
			s.Malformed = "a Host field that is not :authority (RFC 9113 §8.3.1, RFC 9114 §4.3.1)"
		}
		h.Buf = h.Buf[:f.Name.Start]
	case h.Has(msg.Host):
		s.Malformed = "more than one Host field (RFC 9110 §7.2)"
	default:
		return false
	}
	return true
}

func (s *Section) length(value []byte) {
	n, ok := msg.ParseLength(value)
	switch {
	case !ok:
		s.Malformed = "Content-Length is not one number (RFC 9110 §8.6)"
	case s.Head.Has(msg.ContentLength):
		s.Malformed = "more than one Content-Length (RFC 9110 §8.6)"
	}
	s.Length = n
}

// trailerField adds a trailer field, unless it is not permitted in a trailer section.
func (s *Section) trailerField(name, value string) {
	start := len(s.Lines)
	s.Lines = appendLine(s.Lines, name, value)
	line := s.Lines[start:]
	id := s.classify(line[:len(name)], line[len(name)+2:len(line)-2])
	if !msg.MayTrail(id, line[:len(name)]) {
		s.Lines = s.Lines[:start]
	}
}
