package proxy

import (
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"

	"windrose.dev/windrose/internal/proxy/msg"
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
)

// makeKey makes a key for a backend of HTTP/1.1, where the client needs none.
func makeKey() []byte {
	var raw [16]byte
	rand.Read(raw[:])
	return base64.StdEncoding.AppendEncode(nil, raw[:])
}

// acceptOf is what a server makes of a key (RFC 6455 §4.2.2).
func acceptOf(key []byte) []byte {
	sum := sha1.Sum(append(append([]byte(nil), key...), "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"...))
	return base64.StdEncoding.AppendEncode(nil, sum[:])
}
