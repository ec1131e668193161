package httpx

import (
	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/wire/http1"
	"windrose.dev/windrose/internal/reason"
)

// request is what is known of a request beside its decision.
type request struct {
	x      *exchange.Exchange
	client client
	// upgrade is the protocol that the client asks to switch to; nil is none.
	upgrade *upgrade
	// trailers tells that the client takes them, and call that the request is one of
	// gRPC or gRPC-Web.
	trailers, call bool
	web            *webCall
	// first is what has come of the body with the head.
	first part
	in    int64 // bytes of the body so far
}

// begin notes what a head says that concerns the connection, and takes that off it.
// The length is that of the body, or -1.
func (r *request) begin(length int64) {
	h := &r.x.Req
	r.x.BodyLength = length
	r.trailers = msg.HasToken(h.Get(msg.TE), "trailers")
	r.findWebCall(h)
	http1.DropHopByHop(h)
}

var errBodyTooLarge error = &msg.Error{Outcome: reason.BodyTooLarge, Text: "the body grew beyond the route's limit"}

// takeFirst takes what has come of the body with the head.
func (r *request) takeFirst() (err error) {
	if r.first.data, err = r.client.early(); err != nil {
		return err
	}
	if r.first.last = r.client.whole(); !r.count(len(r.first.data)) {
		return errBodyTooLarge
	}
	if r.x.RecodeRequest != nil {
		r.x.Req.Drop(msg.ContentLength)
		r.x.BodyLength = -1
		var own []byte
		r.first.data, err = r.recode(&own, r.first.data, r.first.last)
	}
	return err
}

// count counts bytes of the body. It reports whether the route allows for as many.
func (r *request) count(n int) bool {
	r.in += int64(n)
	return r.x.MaxBody <= 0 || r.in <= r.x.MaxBody
}

// recode changes a part of the body, with out as the memory for it.
func (r *request) recode(out *[]byte, data []byte, last bool) ([]byte, error) {
	return recoded(r.x.RecodeRequest, out, data, last, r.client)
}

// trailer are the lines behind the body.
func (r *request) trailer() []byte {
	if own := r.x.RecodeRequest; own != nil && own.TakesTrailer() {
		return nil
	}
	return r.client.trailer()
}

// part is a piece of the body as it goes on.
func (r *request) part(data []byte, last bool) part {
	p := part{data: data, last: last}
	if last {
		p.trailer = r.trailer()
	}
	return p
}

// outgoing returns the request as it goes to a backend now, with the first of its
// body.
func (r *request) outgoing() outgoing {
	return outgoing{
		head: &r.x.Req, target: r.x.ForwardTarget(), length: r.x.BodyLength, upgrade: r.upgrade,
		trailers: r.trailers, call: r.call, secure: r.x.Cluster.Secure, part: r.part(r.first.data, r.first.last),
	}
}

// recoded changes a part of a body, with out as the memory for it. The trailer
// of from is not looked at before the end: until then its reader may write it.
func recoded(r exchange.Recoder, out *[]byte, data []byte, last bool, from trailing) ([]byte, error) {
	if r == nil {
		return data, nil
	}
	var trailer []byte
	if last {
		trailer = from.trailer()
	}
	var err error
	*out, err = r.Recode((*out)[:0], data, last, trailer)
	return *out, err
}

// trailing is an end whose body may have lines behind it.
type trailing interface{ trailer() []byte }
