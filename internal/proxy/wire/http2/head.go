package http2

import (
	"windrose.dev/windrose/internal/proxy/wire/section"
)

const wrongLength = "a body of another length than Content-Length says (RFC 9113 §8.1.1)"

// check checks a complete section by the rules, and by the state of its stream.
func (c *heads) check(b *block, s *Stream) {
	b.End()
	if b.Fault != nil && b.Kind != section.Request {
		b.Malformed = b.Fault.Text // no response is possible
	}
	if b.Malformed != "" {
		return
	}
	s.Trailer, s.Length = b.Lines, b.Length
	switch b.Kind {
	case section.Request:
		s.Protocol = b.Protocol
		s.Head.Minor, s.Head.Major = 1, 2
		if b.Fault == nil && b.end && s.Length > 0 {
			b.Malformed = wrongLength
		}
	case section.Response:
		s.Head.Minor, s.Head.Major = 1, 2
		b.Malformed = s.checkAnswer(b.end)
	case section.Trailer:
		if !b.end {
			b.Malformed = "a trailer section that does not end the stream (RFC 9113 §8.1)"
		} else if s.Length > s.got && !s.noBody {
			b.Malformed = wrongLength
		}
	}
}

// checkAnswer returns what is wrong with a response whose head does, or does not, end
// the stream, or an empty string.
func (s *Stream) checkAnswer(end bool) string {
	status := s.Head.Status
	switch {
	case status < 200 && end:
		return "an interim answer that ends the stream (RFC 9113 §8.1)"
	case status < 200:
		s.Length = -1
	}
	s.noBody = s.noBody || status == 204 || status == 304
	if end && s.Length > 0 && !s.noBody {
		return wrongLength
	}
	return ""
}
