package section

import "windrose.dev/windrose/internal/proxy/msg"

// pseudo is a set of pseudo-header fields (RFC 9113 §8.3, RFC 9114 §4.3).
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

// known returns the pseudo-header fields that the section may have.
func (s *Section) known() pseudo {
	switch {
	case s.Kind == Response:
		return pseudoStatus
	case s.Protocols:
		return pseudoMethod | pseudoScheme | pseudoAuthority | pseudoPath | pseudoProtocol
	}
	return pseudoMethod | pseudoScheme | pseudoAuthority | pseudoPath
}

func (s *Section) pseudoField(name, value string) {
	which := pseudoNames[name]
	switch {
	case s.Kind == Trailer:
		s.Malformed = "a pseudo-header field in a trailer section (RFC 9113 §8.1, RFC 9114 §4.3)"
	case s.regular:
		s.Malformed = "a pseudo-header field behind a field (RFC 9113 §8.3, RFC 9114 §4.3)"
	case which&s.known() == 0:
		s.Malformed = "a pseudo-header field that is not known here (RFC 9113 §8.3, RFC 9114 §4.3)"
	case s.seen&which != 0:
		s.Malformed = "a pseudo-header field twice (RFC 9113 §8.3, RFC 9114 §4.3)"
	default:
		s.seen |= which
		s.keepPseudo(which, value)
	}
}

func (s *Section) keepPseudo(which pseudo, value string) {
	switch which {
	case pseudoMethod:
		s.Head.Method, s.connect = s.write(value), value == "CONNECT"
	case pseudoScheme:
		s.Scheme = s.word(value)
	case pseudoProtocol:
		s.Protocol = s.word(value)
	case pseudoAuthority:
		if s.field("host", value); len(s.Head.Fields) > 0 {
			s.authority = s.Head.Fields[0].Value
		}
	case pseudoPath:
		if s.Head.Target = s.write(value); len(value) > s.Limits.TargetBytes {
			s.Fault = msg.ErrTargetTooLong
		}
	case pseudoStatus:
		s.status(value)
	}
}

// word checks that a value that is used elsewhere is a token.
func (s *Section) word(value string) string {
	if !msg.IsToken([]byte(value)) {
		s.Malformed = "a scheme or protocol that is not a token (RFC 9113 §8.3.1, RFC 9114 §4.3.1)"
	}
	return value
}

func (s *Section) write(value string) msg.Span {
	h := s.Head
	start := uint32(len(h.Buf))
	h.Buf = append(h.Buf, value...)
	return msg.Span{Start: start, End: uint32(len(h.Buf))}
}

func (s *Section) status(value string) {
	status, ok := msg.ParseStatus(value)
	if !ok || status == 101 {
		s.Malformed = "a status that is not one (RFC 9113 §8.3.2, RFC 9114 §4.3.2)"
	}
	s.Head.Status = status
}
