package proxy

import (
	"bytes"
	"errors"

	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/mux"
	"windrose.dev/windrose/internal/proxy/wire/http2"
)

// http2Backend is a stream of a connection to a backend that speaks HTTP/2, for
// one attempt.
type http2Backend struct {
	*mux.Stream
	t   *transfer
	all bool // the answer's body was taken whole
}

// untouched tells whether a backend has said that it has not looked at the
// request (RFC 9113 §8.7).
func untouched(err error) bool {
	var reset *mux.Error
	return errors.As(err, &reset) && reset.Code == http2.RefusedStream
}

func (b *http2Backend) reused() bool { return b.Reused() }

func (b *http2Backend) ask() (sent int, err error) {
	t := b.t
	o := t.outgoing()
	r := o.http2(t.cluster.Secure)
	r.EndsApart = t.call
	if t.upgrade != nil {
		return b.open(&r, o.head)
	}
	sent, err = b.Ask(&r, o.head, t.early, t.earlyWhole, b.trailerBehind(t.earlyWhole))
	if err != nil || !t.earlyWhole {
		return sent, err
	}
	return sent, b.wait()
}

// open asks for a tunnel (RFC 8441).
func (b *http2Backend) open(r *http2.Request, h *msg.Head) (sent int, err error) {
	if err := b.Settled(); err != nil {
		return 0, err
	}
	if !b.TakesConnect() || !msg.EqualFold(b.t.upgrade, "websocket") {
		return 0, errNoConnect
	}
	r.Protocol = b.t.upgrade
	if key := h.Lookup(keyName); key != nil { // an attempt before may have taken it
		b.t.key = bytes.Clone(key)
		h.DropName([]byte(keyName))
	}
	if sent, err = b.Ask(r, h, nil, false, nil); err == nil {
		err = b.wait()
	}
	return sent, err
}

func (b *http2Backend) switched(h *msg.Head) (bool, error) {
	return b.t.upgrade != nil && h.Status >= 200 && h.Status < 300, nil
}

func (b *http2Backend) tunnel() (tunnelEnd, []byte) { return streamEnd{b.Stream}, nil }

// trailerBehind are the lines behind the request's last part.
func (b *http2Backend) trailerBehind(last bool) []byte {
	if !last {
		return nil
	}
	return b.t.requestTrailer()
}

func (b *http2Backend) give(data []byte, last bool) error {
	return b.Write(data, last, b.trailerBehind(last))
}

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
