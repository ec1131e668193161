package l4

import (
	"sync"
	"time"

	"windrose.dev/windrose/internal/proxy/sock"
	"windrose.dev/windrose/internal/proxy/wire/websocket"
	"windrose.dev/windrose/internal/reason"
)

// webSocket is the client's end of a WebSocket. When the proxy stops, the client is
// told between two frames that the server goes away (RFC 6455 §7.4.1). Its answer goes
// to the backend as if it had asked for the end, and what the backend says from then
// on goes nowhere.
type webSocket struct {
	End
	clock *sock.Clock
	idle  time.Duration

	mu      sync.Mutex // guards what is written, too
	frames  websocket.Frames
	leaving bool // a Close frame is to be sent
	sealed  bool // it was, or never will be: nothing more is written
}

// Send is that of End.
func (w *webSocket) Send(now int64, limit time.Duration, data []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sealed {
		return nil
	}
	n := len(data)
	if w.leaving {
		n = w.frames.ToEnd(data)
	} else {
		w.frames.Pass(data)
	}
	if err := w.End.Send(now, limit, data[:n]); err != nil {
		return err
	}
	return w.goAway()
}

// EndWrites is that of End.
func (w *webSocket) EndWrites(now int64, limit time.Duration) error {
	w.seal()
	return w.End.EndWrites(now, limit)
}

// seal has nothing more written.
func (w *webSocket) seal() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sealed = true
}

// leave sends the Close frame, or has it sent behind the frame that is under way. It
// may wait for the client.
func (w *webSocket) leave(p *Pipe) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.leaving = true
	if w.goAway() != nil {
		p.fail(reason.ClientGone)
	}
}

// goAway sends the Close frame once, unless the backend has sent one. The mutex is
// held.
func (w *webSocket) goAway() error {
	if !w.leaving || w.sealed || !w.frames.Between() || w.frames.Closed() {
		return nil
	}
	w.sealed = true
	return w.End.Send(w.clock.Now(), w.idle, websocket.GoingAway)
}
