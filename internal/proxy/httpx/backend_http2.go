package httpx

import (
	"errors"

	"windrose.dev/windrose/internal/proxy/l4"
	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/mux"
	"windrose.dev/windrose/internal/proxy/wire/http2"
)

// http2Backend is a stream of a connection to a backend that speaks HTTP/2, for
// one attempt.
type http2Backend struct {
	*mux.Stream
	upgrade *upgrade
	all     bool // the answer's body was taken whole
}

// refusedUnseen reports whether a backend has said that it has not looked at the
// request (RFC 9113 §8.7).
func refusedUnseen(err error) bool {
	var reset *mux.Error
	return errors.As(err, &reset) && reset.Code == http2.RefusedStream
}

func (b *http2Backend) reused() bool { return b.Reused() }

func (b *http2Backend) ask(o *outgoing) (sent int, err error) {
	r := o.http2()
	if b.upgrade = o.upgrade; b.upgrade != nil {
		return b.connect(&r, o.head)
	}
	sent, err = b.Ask(&r, o.head, o.data, o.last, o.trailer)
	if err != nil || !o.last {
		return sent, err
	}
	return sent, b.wait()
}

// connect asks for a tunnel (RFC 8441).
func (b *http2Backend) connect(r *http2.Request, h *msg.Head) (sent int, err error) {
	if err := b.Settled(); err != nil {
		return 0, err
	}
	if !b.TakesConnect() || !b.upgrade.isWebSocket() {
		return 0, errNoConnect
	}
	r.Protocol = b.upgrade.protocol
	b.upgrade.takeKey(h)
	if sent, err = b.Ask(r, h, nil, false, nil); err == nil {
		err = b.wait()
	}
	return sent, err
}

func (b *http2Backend) switched(h *msg.Head) (bool, error) {
	return b.upgrade != nil && h.Status >= 200 && h.Status < 300, nil
}

func (b *http2Backend) tunnel() (l4.End, []byte) { return l4.StreamEnd{Stream: b.Stream}, nil }

func (b *http2Backend) give(p part) error { return b.Write(p.data, p.last, p.trailer) }

func (b *http2Backend) wait() error { return b.Wait() }

func (b *http2Backend) head(h *msg.Head) (done bool, err error) { return b.Response(h), nil }

func (b *http2Backend) begin(*msg.Head) ([]byte, error) { return b.data() }

func (b *http2Backend) length() int64 { return b.BodyLength() }

func (b *http2Backend) data() ([]byte, error) {
	var data []byte
	data, b.all = b.Data()
	return data, nil
}

func (b *http2Backend) took()      { b.Took() }
func (b *http2Backend) done() bool { return b.all }
func (b *http2Backend) ends() bool { return false }

// trailer is nothing before the body's end: until then it may be written.
func (b *http2Backend) trailer() []byte {
	if !b.all {
		return nil
	}
	return b.Trailer()
}

func (b *http2Backend) cut()     { b.Reset(http2.Cancel) }
func (b *http2Backend) close()   { b.Close() }
func (b *http2Backend) release() { b.Done() }
