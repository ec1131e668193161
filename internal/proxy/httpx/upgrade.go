package httpx

import (
	"bytes"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"

	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/wire/http1"
	"windrose.dev/windrose/internal/reason"
)

// Fields of a WebSocket's handshake over HTTP/1.1 (RFC 6455 §4), which HTTP/2
// does without (RFC 8441 §5.1).
const (
	keyName    = "Sec-WebSocket-Key"
	acceptName = "Sec-WebSocket-Accept"
)

// What keeps a tunnel from being opened.
var (
	errOtherProtocol = &msg.Error{Outcome: reason.UpstreamInvalid, Text: "it switched to a protocol that was not asked for"}
	errWrongKey      = &msg.Error{Outcome: reason.UpstreamInvalid, Text: "it accepted a WebSocket with the wrong key (RFC 6455 §4.2.2)"}
	errNoConnect     = &msg.Error{Outcome: reason.UpstreamInvalid, Text: "it takes no tunnels over HTTP/2 (RFC 8441 §3)"}
	// errProtocol refuses tunnels whose bytes we know nothing of: h2c, say, would carry
	// requests that nobody looks at.
	errProtocol = &msg.Error{Outcome: reason.NotImplemented, Text: "a protocol other than websocket is not offered here (RFC 8441 §4)"}
)

// upgrade is the protocol that a request asks to switch to, and then the one that was
// agreed upon.
type upgrade struct {
	protocol []byte
	// key is that of a WebSocket's handshake, where one side's version of HTTP has
	// such a thing and the other's does not; nil otherwise.
	key []byte
}

// newWebSocket is for clients of later versions, which have no key. A backend of
// HTTP/1.1 needs one.
func newWebSocket() *upgrade {
	var raw [16]byte
	rand.Read(raw[:])
	return &upgrade{protocol: []byte("websocket"), key: base64.StdEncoding.AppendEncode(nil, raw[:])}
}

// isWebSocket reports whether the protocol is that of RFC 6455.
func (u *upgrade) isWebSocket() bool { return msg.EqualFold(u.protocol, "websocket") }

// takeKey takes the key off a request that goes on in a version without one, so that
// the client can be told that its key was understood. An attempt before may have
// taken it.
func (u *upgrade) takeKey(h *msg.Head) {
	if key := h.Lookup(keyName); key != nil {
		u.key = bytes.Clone(key)
		h.DropName([]byte(keyName))
	}
}

// appendFields writes what asks for the protocol in HTTP/1.1.
func (u *upgrade) appendFields(dst []byte) []byte {
	dst = append(append(append(dst, "Connection: Upgrade\r\nUpgrade: "...), u.protocol...), '\r', '\n')
	if u.key != nil {
		dst = append(append(append(dst, keyName+": "...), u.key...), '\r', '\n')
	}
	return dst
}

// accepts reports whether an answer of HTTP/1.1 switches to what was asked for; the
// protocol is then the one that it names.
func (u *upgrade) accepts(h *msg.Head) (bool, error) {
	switch {
	case h.Status != 101:
		return false, nil
	case u == nil || !http1.AsksFor(u.protocol, h.Get(msg.Upgrade)):
		return false, errOtherProtocol
	case u.key != nil && string(h.Lookup(acceptName)) != string(acceptOf(u.key)):
		return false, errWrongKey
	}
	u.protocol = bytes.Clone(h.Get(msg.Upgrade))
	return true, nil
}

// acceptOf is what a server makes of a key (RFC 6455 §4.2.2).
func acceptOf(key []byte) []byte {
	sum := sha1.Sum(append(append([]byte(nil), key...), "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"...))
	return base64.StdEncoding.AppendEncode(nil, sum[:])
}

// namesH2C reports whether a list of protocols has h2c, of any version.
func namesH2C(protocols []byte) bool {
	for rest := protocols; len(rest) > 0; {
		var one []byte
		one, rest = msg.NextToken(rest)
		name, _, _ := bytes.Cut(one, []byte("/"))
		name, _, _ = bytes.Cut(name, []byte(";"))
		if msg.EqualFold(bytes.TrimSpace(name), "h2c") {
			return true
		}
	}
	return false
}
