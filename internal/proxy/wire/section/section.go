package section

import (
	"bytes"

	"windrose.dev/windrose/internal/proxy/msg"
)

// Kind is what a section is.
type Kind uint8

const (
	Request Kind = iota
	Response
	Trailer
)

// Section is one that is being read. The first fields are set before, the
// others read after.
type Section struct {
	Kind   Kind
	Limits *msg.Limits
	// Head gets the fields of a request or an answer, and its Buf their lines.
	// Other buffers of it stay.
	Head *msg.Head
	// Lines gets those of a trailer section, each with its CRLF, but for fields
	// that may not stand there.
	Lines []byte
	// Protocols allows for :protocol (RFC 8441, RFC 9220).
	Protocols bool

	// Scheme is that of a request, and Protocol that of an extended CONNECT, whose
	// method then reads GET.
	Scheme, Protocol string
	// Length is what Content-Length says; it is only set where Head has one.
	Length int64
	// Fault is a limit that is broken, and Malformed a rule: nil and empty mostly.
	Fault     *msg.Error
	Malformed string

	fields    int
	size      int // as SETTINGS_MAX_HEADER_LIST_SIZE counts
	seen      pseudo
	regular   bool // a field that is no pseudo-header was seen
	cookies   int
	authority msg.Span
	connect   bool
}

// Add takes one field. It returns false once nothing more is of interest.
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

// End holds the section as a whole to the rules.
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
		h.Target = s.authority // authority-form, which nobody routes
	}
	if s.cookies > 1 {
		joinCookies(h)
	}
}

// requestFault says how a request breaks the rules, or nothing.
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

// joinCookies makes one field of those that the client has split for the sake
// of compression (RFC 9113 §8.2.3, RFC 9114 §4.2.1).
func joinCookies(h *msg.Head) {
	var all [][]byte
	for i := range h.Fields {
		if f := &h.Fields[i]; f.ID == msg.Cookie {
			all = append(all, h.Value(f))
		}
	}
	h.Set(msg.Cookie, "cookie", bytes.Join(all, []byte("; ")))
}
