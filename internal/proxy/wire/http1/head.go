package http1

import (
	"bytes"

	"windrose.dev/windrose/internal/proxy/msg"
)

// Parser parses one head, incrementally. It does not scan bytes again, so a slow sender
// costs no more than a fast one. The zero value is ready.
type Parser struct {
	line    int  // where the current line starts
	seen    int  // up to here there is no LF
	started bool // the start line was parsed
}

// Request continues to parse buf, which begins with the request's first byte and has at
// least the bytes of the previous call. When the head is complete it returns its
// length, with h as a view into buf; until then it returns 0.
func (p *Parser) Request(h *msg.Head, buf []byte, limits *msg.Limits) (int, error) {
	h.Buf = buf
	if !p.started {
		p.skipEmptyLines(buf)
	}
	return p.read(h, buf, limits, requestLine)
}

// Response parses the head of a response as Request does that of a request.
func (p *Parser) Response(h *msg.Head, buf []byte, limits *msg.Limits) (int, error) {
	h.Buf = buf
	return p.read(h, buf, limits, statusLine)
}

// startLineRest bounds a request line besides its target: the method, spaces, the
// version and the line end.
const startLineRest = 32

// Started reports whether a head has begun: whether there is any byte besides empty
// lines.
func (p *Parser) Started(buf []byte) bool { return p.started || len(buf) > p.line }

// skipEmptyLines skips one CRLF before a request line (RFC 9112 §2.2).
func (p *Parser) skipEmptyLines(buf []byte) {
	if p.line == 0 && len(buf) >= 2 && buf[0] == '\r' && buf[1] == '\n' {
		p.line, p.seen = 2, 2
	}
}

type startLine func(h *msg.Head, start, end int, limits *msg.Limits) error

func (p *Parser) read(h *msg.Head, buf []byte, limits *msg.Limits, first startLine) (int, error) {
	for {
		i := bytes.IndexByte(buf[p.seen:], '\n')
		if i < 0 {
			p.seen = len(buf)
			return 0, p.tooLong(buf, limits)
		}
		end := p.seen + i // the LF
		start := p.line
		if !p.started && end-start > limits.TargetBytes+startLineRest {
			return 0, msg.ErrTargetTooLong
		}
		if end >= limits.HeadBytes {
			return 0, p.lengthError(end, limits)
		}
		if end == start || buf[end-1] != '\r' {
			return 0, ErrBareLF
		}
		p.line, p.seen = end+1, end+1
		switch {
		case !p.started:
			p.started = true
			if err := first(h, start, end-1, limits); err != nil {
				return 0, err
			}
		case end == start+1:
			return p.line, nil
		default:
			if err := field(h, start, end-1, limits); err != nil {
				return 0, err
			}
		}
	}
}

// tooLong checks an incomplete head, so that a sender that sends no line end is
// rejected as early as others.
func (p *Parser) tooLong(buf []byte, limits *msg.Limits) error {
	if !p.started && len(buf)-p.line > limits.TargetBytes+startLineRest {
		return msg.ErrTargetTooLong
	}
	if len(buf) >= limits.HeadBytes {
		return p.lengthError(len(buf), limits)
	}
	return nil
}

func (p *Parser) lengthError(length int, limits *msg.Limits) error {
	if !p.started && length > limits.TargetBytes {
		return msg.ErrTargetTooLong
	}
	return msg.ErrHeadTooLong
}

func requestLine(h *msg.Head, start, end int, limits *msg.Limits) error {
	line := h.Buf[start:end]
	first := bytes.IndexByte(line, ' ')
	last := bytes.LastIndexByte(line, ' ')
	if first <= 0 || last <= first+1 {
		return ErrRequestLine
	}
	h.Method = msg.Span{Start: uint32(start), End: uint32(start + first)}
	h.Target = msg.Span{Start: uint32(start + first + 1), End: uint32(start + last)}
	switch {
	case h.Target.Len() > limits.TargetBytes:
		return msg.ErrTargetTooLong
	case !msg.IsToken(h.Bytes(h.Method)):
		return ErrMethod
	case !msg.IsTarget(h.Bytes(h.Target)):
		return ErrTarget
	}
	return version(h, line[last+1:], ErrRequestLine)
}

func version(h *msg.Head, b []byte, malformed error) error {
	if len(b) != 8 || string(b[:5]) != "HTTP/" || b[6] != '.' {
		return malformed
	}
	if b[5] != '1' || b[7] != '0' && b[7] != '1' {
		return ErrVersion
	}
	h.Minor = b[7] - '0'
	return nil
}

func statusLine(h *msg.Head, start, end int, _ *msg.Limits) error {
	line := h.Buf[start:end]
	if len(line) < 12 || line[8] != ' ' || len(line) > 12 && line[12] != ' ' {
		return ErrStatusLine
	}
	if err := version(h, line[:8], ErrStatusLine); err != nil {
		return err
	}
	var ok bool
	if h.Status, ok = msg.ParseStatus(line[9:12]); !ok {
		return ErrStatusLine
	}
	h.Reason = msg.Span{Start: uint32(min(start+13, end)), End: uint32(end)}
	if !msg.IsValue(h.Bytes(h.Reason)) {
		return ErrStatusLine
	}
	return nil
}

func field(h *msg.Head, start, end int, limits *msg.Limits) error {
	if len(h.Fields) >= limits.Fields {
		return msg.ErrTooManyFields
	}
	line := h.Buf[start:end]
	if line[0] == ' ' || line[0] == '\t' {
		return ErrFolding
	}
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 {
		return ErrFieldName
	}
	ok, underscore := msg.CheckName(line[:colon])
	if !ok {
		return ErrFieldName
	}
	from, to := colon+1, len(line)
	for from < to && (line[from] == ' ' || line[from] == '\t') {
		from++
	}
	for to > from && (line[to-1] == ' ' || line[to-1] == '\t') {
		to--
	}
	if !msg.IsValue(line[from:to]) {
		if bytes.IndexByte(line[from:to], '\r') >= 0 {
			return ErrBareCR
		}
		return ErrFieldValue
	}
	id := msg.Classify(line[:colon], underscore)
	h.Fields = append(h.Fields, msg.Field{
		Name:    msg.Span{Start: uint32(start), End: uint32(start + colon)},
		Value:   msg.Span{Start: uint32(start + from), End: uint32(start + to)},
		LineEnd: uint32(end + 2),
		ID:      id,
	})
	if id != msg.OtherField {
		if id == msg.Host && h.Has(msg.Host) {
			return ErrHostCount
		}
		h.Known |= 1 << id
	}
	return nil
}
