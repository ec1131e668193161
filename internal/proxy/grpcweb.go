package proxy

import (
	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/wire/grpcweb"
)

// webCall is a call of gRPC-Web. Where the backend speaks HTTP/2 it becomes one of
// gRPC; others get it as it is.
type webCall struct {
	asked, answer grpcweb.Type
	translated    bool
	decoder       grpcweb.Decoder
	encoder       grpcweb.Encoder
}

// findWebCall tells whether the request is a call of gRPC-Web.
func (t *transfer) findWebCall(h *msg.Head) bool {
	asked, ok := grpcweb.ParseType(h.Get(msg.ContentType))
	if ok {
		t.web = &webCall{asked: asked, answer: asked.Answer(h.Lookup("accept"))}
	}
	return ok
}

// webToGRPC makes a call of gRPC-Web one of gRPC.
func (t *transfer) webToGRPC() {
	if t.web == nil || t.cluster.Protocol != model.HTTP2 {
		return
	}
	t.web.translated, t.te = true, true
	t.x.Req.Set(msg.ContentType, "Content-Type", t.web.asked.AppendGRPC(nil))
	if t.web.asked.Text {
		t.x.RecodeRequest = &t.web.decoder
	}
}

// webFromGRPC makes the answer to such a call one of gRPC-Web. One that has its
// status in the head stays without a body, and one that is not of gRPC as it is.
func (t *transfer) webFromGRPC() {
	h := &t.x.Resp
	if t.web == nil || !t.web.translated || !isGRPC(h) {
		return
	}
	t.setWebType(h)
	h.Drop(msg.Trailer)
	if h.Lookup("grpc-status") == nil {
		t.web.encoder.Text = t.web.answer.Text
		t.x.RecodeResponse = &t.web.encoder
	}
}

func (t *transfer) setWebType(h *msg.Head) {
	h.Set(msg.ContentType, "Content-Type", t.web.answer.Append(nil))
}
