package http1

import (
	"windrose.dev/windrose/internal/proxy/msg"
)

// Kind says how the end of a body is found.
type Kind uint8

const (
	// NoBody: the message ends with its head.
	NoBody Kind = iota
	// Length: the length is given.
	Length
	// Chunked: the chunked transfer coding.
	Chunked
	// UntilClose: the body ends when the connection is closed; for responses only.
	UntilClose
)

// RequestFraming returns how the body of a request is framed (RFC 9112 §6.3). It also
// checks Host (§3.2).
func RequestFraming(h *msg.Head) (kind Kind, length int64, err error) {
	if h.Minor == 1 && !h.Has(msg.Host) {
		return 0, 0, ErrHostCount
	}
	kind, length, err = framing(h)
	if err != nil || kind != UntilClose {
		return kind, length, err
	}
	return NoBody, 0, nil
}

// ResponseFraming returns how the body of a response to a request with the given method
// is framed (RFC 9112 §6.3).
func ResponseFraming(h *msg.Head, method []byte) (kind Kind, length int64, err error) {
	kind, length, err = framing(h)
	if err != nil {
		return kind, length, err
	}
	if h.Status < 200 || h.Status == 204 || h.Status == 304 || string(method) == "HEAD" {
		return NoBody, 0, nil
	}
	return kind, length, nil
}

// framing implements the rules common to requests and responses. It returns UntilClose
// if neither length field is present.
func framing(h *msg.Head) (Kind, int64, error) {
	if h.Has(msg.Connection) && tooManyNominated(h) {
		return 0, 0, ErrConnection
	}
	if !h.Has(msg.TransferEncoding) && !h.Has(msg.ContentLength) {
		return UntilClose, 0, nil
	}
	if h.Has(msg.TransferEncoding) {
		return chunkedFraming(h)
	}
	length := int64(-1)
	for i := range h.Fields {
		f := &h.Fields[i]
		if f.ID != msg.ContentLength {
			continue
		}
		if length >= 0 {
			return 0, 0, ErrLengthTwice
		}
		var ok bool
		if length, ok = msg.ParseLength(h.Value(f)); !ok {
			return 0, 0, ErrLengthValue
		}
	}
	if length == 0 {
		return NoBody, 0, nil
	}
	return Length, length, nil
}

func chunkedFraming(h *msg.Head) (Kind, int64, error) {
	if h.Has(msg.ContentLength) {
		return 0, 0, ErrLengthAndTE
	}
	if h.Minor == 0 {
		return 0, 0, ErrCoding10
	}
	count := 0
	for i := range h.Fields {
		f := &h.Fields[i]
		if f.ID != msg.TransferEncoding {
			continue
		}
		if count++; count > 1 {
			return 0, 0, ErrCodingTwice
		}
		if !msg.EqualFold(h.Value(f), "chunked") {
			return 0, 0, ErrTransferCoding
		}
	}
	return Chunked, 0, nil
}

// KeepsAlive reports whether the sender of h keeps the connection open after this
// message (RFC 9112 §9.3).
func KeepsAlive(h *msg.Head) bool {
	if !h.Has(msg.Connection) {
		return h.Minor == 1
	}
	alive := h.Minor == 1
	for i := range h.Fields {
		if f := &h.Fields[i]; f.ID == msg.Connection {
			value := h.Value(f)
			if msg.HasToken(value, "close") {
				return false
			}
			alive = alive || msg.HasToken(value, "keep-alive")
		}
	}
	return alive
}

// UpgradeOf returns the protocols of a request's Upgrade field, or nil. The Connection
// field must name Upgrade (RFC 9110 §7.8).
func UpgradeOf(h *msg.Head) []byte {
	if !h.Has(msg.Upgrade) || !h.Has(msg.Connection) || h.Minor == 0 {
		return nil
	}
	for i := range h.Fields {
		if f := &h.Fields[i]; f.ID == msg.Connection && msg.HasToken(h.Value(f), "upgrade") {
			return h.Get(msg.Upgrade)
		}
	}
	return nil
}

// AsksFor reports whether the request asked for every protocol that a 101 response
// switches to.
func AsksFor(asked, answered []byte) bool {
	for rest := answered; len(rest) > 0; {
		var one []byte
		if one, rest = msg.NextToken(rest); !msg.HasToken(asked, string(one)) {
			return false
		}
	}
	return len(answered) > 0
}

// hopByHop are the fields that concern one connection (RFC 9110 §7.6.1), and two others
// that are never forwarded: twins, and Proxy, which CGI programs take for the setting
// HTTP_PROXY (CVE-2016-5385).
var hopByHop = [...]msg.FieldID{
	msg.Connection, msg.KeepAlive, msg.ProxyConnection, msg.TE, msg.Upgrade,
	msg.HTTP2Settings, msg.TransferEncoding, msg.Proxy, msg.Twin,
}

// maxNominated bounds the names in Connection, because each is compared with all
// fields.
const maxNominated = 64

func tooManyNominated(h *msg.Head) bool {
	count := 0
	for i := range h.Fields {
		f := &h.Fields[i]
		if f.ID != msg.Connection {
			continue
		}
		for rest := h.Value(f); len(rest) > 0; count++ {
			_, rest = msg.NextToken(rest)
		}
	}
	return count > maxNominated
}

// DropHopByHop removes the fields that concern one connection, and those that
// Connection nominates, except for fields that frame or route the message.
func DropHopByHop(h *msg.Head) {
	if h.Has(msg.Connection) {
		dropNominated(h)
	}
	const mask = 1<<msg.Connection | 1<<msg.KeepAlive | 1<<msg.ProxyConnection | 1<<msg.TE |
		1<<msg.Upgrade | 1<<msg.HTTP2Settings | 1<<msg.TransferEncoding | 1<<msg.Proxy | 1<<msg.Twin
	if h.Known&mask == 0 {
		return
	}
	for _, id := range hopByHop {
		h.Drop(id)
	}
}

func dropNominated(h *msg.Head) {
	for i := range h.Fields {
		f := &h.Fields[i]
		if f.ID != msg.Connection {
			continue
		}
		for rest := h.Value(f); len(rest) > 0; {
			var name []byte
			name, rest = msg.NextToken(rest)
			if ok, underscore := msg.CheckName(name); ok && mayNominate(msg.Classify(name, underscore)) {
				h.DropName(name)
			}
		}
	}
}

// mayNominate reports whether a sender may nominate a field for removal. It may not
// nominate identity fields: trust alone decides about them.
func mayNominate(id msg.FieldID) bool {
	switch id {
	case msg.Host, msg.ContentLength, msg.TransferEncoding, msg.Connection, msg.Twin:
		return false
	}
	return !id.Identity()
}
