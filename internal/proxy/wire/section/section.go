package section

import (
	"bytes"

	"windrose.dev/windrose/internal/proxy/msg"
)

// Kind is the kind of a section.
type Kind uint8

const (
	Request Kind = iota
	Response
	Trailer
)

// Section is a section that is being read. The caller sets the first fields; the others
// are the result.
type Section struct {
	Kind   Kind
	Limits *msg.Limits
	// Head receives the fields of a request or response, and its Buf their lines. Its
	// other buffers are kept.
	Head *msg.Head
	// Lines receives the lines of a trailer section, each with its CRLF, except for
	// fields that are not permitted there.
	Lines []byte
	// Protocols permits :protocol (RFC 8441, RFC 9220).
	Protocols bool

	// Scheme is the scheme of a request. Protocol is the :protocol of an extended
	// CONNECT, whose method is given as GET.
	Scheme, Protocol string
	// Length is the value of Content-Length. It is set only if Head has that field.
	Length int64
	// Fault is a limit that is exceeded, or nil. Malformed is a rule that is broken, or
	// empty.
	Fault     *msg.Error
	Malformed string

	fields    int
	size      int // counted as for SETTINGS_MAX_HEADER_LIST_SIZE
	seen      pseudo
	regular   bool // a field that is not a pseudo-header field was added
	cookies   int
	authority msg.Span
	connect   bool
}

// Add adds one field. It returns false if no more fields are of interest.
func (s *Section) Add(name, value string) bool {
	s.fields++
	s.size += len(name) + len(value) + 32
	switch {
	case s.over():
	case s.size > s.Limits.HeadBytes:
		s.Fault = msg.ErrHeadTooLong
	case s.fields > s.Limits.Fields:
		s.Fault = msg.ErrTooManyFields
	case name == "":
		s.Malformed = "a field without a name (RFC 9113 §8.2.1, RFC 9114 §4.2)"
	case name[0] == ':':
		s.pseudoField(name, value)
	case s.Kind == Trailer:
		s.trailerField(name, value)
	default:
		s.regular = true
		s.field(name, value)
	}
	return !s.over()
}

func (s *Section) over() bool { return s.Fault != nil || s.Malformed != "" }

// End checks the rules for the section as a whole.
func (s *Section) End() {
	switch {
	case s.over():
		return
	case s.Kind == Request:
		s.endRequest()
	case s.Kind == Response && s.seen&pseudoStatus == 0:
		s.Malformed = "an answer without a status (RFC 9113 §8.3.2)"
	}
}

func (s *Section) endRequest() {
	if s.Malformed = s.requestFault(); s.Malformed != "" {
		return
	}
	h := s.Head
	switch {
	case s.seen&pseudoProtocol != 0:
		h.Method = s.write("GET")
	case s.connect:
		h.Target = s.authority // authority-form, which is not routed
	}
	if s.cookies > 1 {
		joinCookies(h)
	}
}

// requestFault returns the rule that a request breaks, or an empty string.
func (s *Section) requestFault() string {
	const needed = pseudoMethod | pseudoScheme | pseudoPath
	h := s.Head
	extended := s.seen&pseudoProtocol != 0
	path := h.Bytes(h.Target)
	switch {
	case s.seen&pseudoMethod == 0:
		return "a request without a method (RFC 9113 §8.3.1, RFC 9114 §4.3.1)"
	case !msg.IsToken(h.Bytes(h.Method)):
		return "the method is not a token (RFC 9110 §9.1)"
	case extended && (!s.connect || s.seen&pseudoAuthority == 0):
		return "an extended CONNECT that is not one (RFC 8441 §4)"
	case s.connect && !extended && s.seen != pseudoMethod|pseudoAuthority:
		return "CONNECT with more or less than an authority (RFC 9113 §8.5, RFC 9114 §4.4)"
	case s.connect && !extended:
		return ""
	case s.seen&needed != needed:
		return "a request without scheme or path (RFC 9113 §8.3.1, RFC 9114 §4.3.1)"
	case !msg.IsTarget(path):
		return "the path is not valid (RFC 9113 §8.3.1, RFC 9114 §4.3.1)"
	case path[0] != '/' && (string(path) != "*" || string(h.Bytes(h.Method)) != "OPTIONS"):
		return "a path that does not start with a slash (RFC 9113 §8.3.1, RFC 9114 §4.3.1)"
	}
	return ""
}

// joinCookies joins the Cookie fields, which a client may split for better compression
// (RFC 9113 §8.2.3, RFC 9114 §4.2.1).
func joinCookies(h *msg.Head) {
	var all [][]byte
	for i := range h.Fields {
		if f := &h.Fields[i]; f.ID == msg.Cookie {
			all = append(all, h.Value(f))
		}
	}
	h.Set(msg.Cookie, "cookie", bytes.Join(all, []byte("; ")))
}
