package proxy

import (
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"sync"

	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/wire/websocket"
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

// webSocket is what goes to the client of a WebSocket. When the proxy stops the
// client is told between two frames that the server goes away. Its answer goes to
// the backend as if it had asked for the end, and what the backend says from then on
// goes nowhere.
type webSocket struct {
	mu      sync.Mutex // guards what is written, too
	frames  websocket.Frames
	leaving bool // the goodbye is to be said
	said    bool // or it never will be: nothing more is written
}

// end has nothing more written: the client's end is closed, or another's soon.
func (w *webSocket) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.said = true
}

func (w *webSocket) send(t *tunnel, data []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.said {
		return nil
	}
	n := len(data)
	if w.leaving {
		n = w.frames.ToEnd(data)
	} else {
		w.frames.Pass(data)
	}
	t.client.LimitWrites(t.last.Load(), t.idle)
	if err := t.client.send(data[:n]); err != nil {
		return err
	}
	return w.goodbye(t)
}

// leave says goodbye, or has it said behind the frame that is under way.
func (w *webSocket) leave(t *tunnel) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.leaving = true
	if w.goodbye(t) != nil {
		t.interrupt()
	}
}

// goodbye is said once, unless the backend has said it. The mutex is held.
func (w *webSocket) goodbye(t *tunnel) error {
	if !w.leaving || w.said || !w.frames.Between() || w.frames.Closed() {
		return nil
	}
	w.said = true
	t.client.LimitWrites(t.proxy.clock.Now(), t.idle)
	return t.client.send(websocket.GoingAway)
}
