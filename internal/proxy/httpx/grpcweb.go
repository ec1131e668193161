package httpx

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

// findWebCall finds out whether the request is a call of gRPC-Web.
func (r *request) findWebCall(h *msg.Head) {
	if asked, ok := grpcweb.ParseType(h.Get(msg.ContentType)); ok {
		r.call, r.web = true, &webCall{asked: asked, answer: asked.Answer(h.Lookup("accept"))}
	}
}

// webToGRPC makes a call of gRPC-Web one of gRPC.
func (r *request) webToGRPC() {
	if r.web == nil || r.x.Cluster.Protocol != model.HTTP2 {
		return
	}
	r.web.translated, r.trailers = true, true
	r.x.Req.Set(msg.ContentType, "Content-Type", r.web.asked.AppendGRPC(nil))
	if r.web.asked.Text {
		r.x.RecodeRequest = &r.web.decoder
	}
}

// webFromGRPC makes the answer to such a call one of gRPC-Web. One that has its
// status in the head stays without a body, and one that is not of gRPC as it is.
func (r *request) webFromGRPC() {
	h := &r.x.Resp
	if r.web == nil || !r.web.translated || !isGRPC(h) {
		return
	}
	r.web.setType(h)
	h.Drop(msg.Trailer)
	if h.Lookup("grpc-status") == nil {
		r.web.encoder.Text = r.web.answer.Text
		r.x.RecodeResponse = &r.web.encoder
	}
}

func (w *webCall) setType(h *msg.Head) {
	h.Set(msg.ContentType, "Content-Type", w.answer.Append(nil))
}
