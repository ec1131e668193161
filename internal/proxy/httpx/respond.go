package httpx

import (
	"errors"
	"io"
	"os"

	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/proxy/l4"
	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/policy"
	"windrose.dev/windrose/internal/proxy/wire/http1"
	"windrose.dev/windrose/internal/reason"
)

// maxInterim bounds the interim (1xx) answers to one request.
const maxInterim = 16

// response is what has become of a backend's answer.
type response uint8

const (
	// responded: the client has it, or a tunnel has ended.
	responded response = iota
	// brokenOff: the client got a part of it at most, and its end is of no more use.
	// The exchange is recorded.
	brokenOff
	// repeats: the request is to be sent again.
	repeats
	// failed: the failure stands in the Exchange, and is to be answered.
	failed
)

// respond moves the backend's answer to the client, unless the route's policy has
// the request repeated.
func (r *responder) respond() response {
	for range maxInterim {
		if err := r.readAnswerHead(); err != nil {
			r.blameAnswer(err)
			return r.repeatsIf(r.endAttempt())
		}
		accepted, err := r.attempt.up.switched(&r.x.Resp)
		if err != nil {
			r.fail(reason.UpstreamInvalid, err.Error())
			return failed
		}
		r.attempt.status = r.x.Resp.Status
		switch status := r.x.Resp.Status; {
		case accepted:
			return r.switchProtocols()
		case r.x.RepeatsStatus(status) && r.mayRetry():
			return r.repeatsIf(r.prepareRetry())
		case status >= 200:
			return r.respondFinal()
		}
		if !r.respondInterim() {
			return brokenOff
		}
	}
	r.fail(reason.UpstreamInvalid, "too many interim answers")
	return failed
}

// repeatsIf is repeats, or that the failure in r.x is to be answered.
func (r *responder) repeatsIf(repeat bool) response {
	if repeat {
		r.x.Answered, r.x.Detail = false, ""
		return repeats
	}
	return failed
}

// readAnswerHead reads a response head.
func (r *responder) readAnswerHead() error {
	r.x.Resp.Reset()
	for {
		if done, err := r.attempt.up.head(&r.x.Resp); done || err != nil {
			return err
		}
		if err := r.fill(); err != nil {
			return err
		}
	}
}

// answerFailed ends the work at the backend because no answer, or no valid one,
// came.
func (r *responder) answerFailed(err error) response {
	r.blameAnswer(err)
	r.drop()
	return failed
}

// blameAnswer says why no answer, or no valid one, came from the backend.
func (r *responder) blameAnswer(err error) {
	var broken *msg.Error
	switch {
	case errors.As(err, &broken):
		r.blame(reason.UpstreamInvalid, broken.Text)
	case errors.Is(err, os.ErrDeadlineExceeded):
		r.blame(reason.UpstreamTimeout, r.times.lateness("no answer within the read timeout"))
	default:
		r.blame(reason.UpstreamReset, resetDetail(err, "it closed the connection before it answered"))
	}
}

// respondInterim forwards a 1xx answer, such as 100 or 103 (RFC 9110 §15.2).
func (r *responder) respondInterim() bool {
	h := &r.x.Resp
	http1.DropHopByHop(h)
	h.Drop(msg.ContentLength) // RFC 9110 §8.6
	h.Drop(msg.Spoof)
	r.headSent = r.headSent || r.x.Req.Minor > 0 // HTTP/1.0 has none
	r.times.limitAnswer(r.client, false)
	if !r.wrote(r.client.interim(h)) {
		return false
	}
	r.attempt.up.took()
	return true
}

// respondFinal forwards a final answer.
func (r *responder) respondFinal() response {
	up := r.attempt.up
	data, err := up.begin(&r.x.Resp)
	if err != nil {
		return r.answerFailed(err)
	}
	r.commit()
	r.dropAltSvc()
	r.req.webFromGRPC()
	r.x.OnResponse()
	r.x.Stick(r.attempt.endpoint)
	length := up.length()
	if r.x.RecodeResponse != nil {
		length = -1
		r.x.Resp.Drop(msg.ContentLength)
	}
	if data, err = r.recode(data, up.done()); err != nil {
		return r.answerFailed(err)
	}
	if !r.beginAnswer(length, data, up.done()) {
		return brokenOff
	}
	if up.took(); !r.respondBody() {
		return brokenOff
	}
	r.release()
	r.x.Outcome = reason.OK
	r.record()
	return responded
}

// recode changes a part of the answer's body.
func (r *responder) recode(data []byte, last bool) ([]byte, error) {
	return recoded(r.x.RecodeResponse, &r.recoded, data, last, r.attempt.up)
}

// part is a piece of the answer's body as it goes to the client.
func (r *responder) part(data []byte, last bool) part {
	p := part{data: data, last: last}
	if own := r.x.RecodeResponse; last && r.attempt.up != nil && (own == nil || !own.TakesTrailer()) {
		p.trailer = r.attempt.up.trailer()
	}
	return p
}

// respondBody moves the rest of the answer's body. On failure it has recorded
// the exchange.
func (r *responder) respondBody() bool {
	up := r.attempt.up
	for !up.done() {
		if err := r.fill(); err != nil {
			if !errors.Is(err, io.EOF) || !up.ends() {
				return r.truncated(err)
			}
			last, err := r.recode(nil, true)
			if err != nil {
				return r.truncated(err)
			}
			return r.writeAnswer(last, true)
		}
		if v := r.permitted.again(); !v.Allowed() {
			r.x.Policy = v.Policy
			r.breakOff(v.Outcome, v.Detail)
			return false
		}
		data, err := up.data()
		if err == nil {
			data, err = r.recode(data, up.done())
		}
		if err != nil {
			return r.truncated(err)
		}
		if !r.writeAnswer(data, up.done()) {
			return false
		}
		up.took()
	}
	return true
}

// truncated ends an exchange whose answer broke off: the client's connection
// is closed, so that it notices.
func (r *responder) truncated(err error) bool {
	outcome, detail := reason.UpstreamTruncated, resetDetail(err, "it closed the connection in the middle of its answer")
	var broken *msg.Error
	switch {
	case errors.As(err, &broken):
		detail = broken.Text
	case r.client.Gone():
		outcome, detail = whyGone(r.client)
	case errors.Is(err, os.ErrDeadlineExceeded):
		outcome, detail = reason.UpstreamTimeout, r.times.lateness("its answer stopped coming")
	}
	if why, text, stopped := r.pump.why(); stopped {
		outcome, detail, r.x.Policy = why, text, r.pump.policy
	}
	r.breakOff(outcome, detail)
	return false
}

// breakOff ends and records an exchange whose client is not to be answered any more.
func (r *responder) breakOff(outcome reason.Outcome, detail string) {
	r.x.Outcome, r.x.Detail = outcome, detail
	r.drop()
	r.client.abort()
	r.record()
}

// beginAnswer sends the head in r.x.Resp and the first of the body, whose length is
// given, or -1. On failure it has recorded the exchange.
func (r *responder) beginAnswer(length int64, data []byte, last bool) bool {
	if r.x.Resp.Status == 204 {
		r.x.Resp.Drop(msg.ContentLength) // RFC 9110 §8.6
	}
	r.addAltSvc()
	r.times.limitAnswer(r.client, r.x.Answered)
	r.headSent = true
	r.answer = answer{
		head: &r.x.Resp, length: length, own: r.x.Answered, requestDone: r.pump.requestTaken(), part: r.part(data, last),
	}
	return r.wrote(r.client.begin(&r.answer))
}

// writeAnswer sends more of the body. On failure it has recorded the exchange.
func (r *responder) writeAnswer(data []byte, last bool) bool {
	r.times.limitAnswer(r.client, r.x.Answered)
	return r.wrote(r.client.write(r.part(data, last)))
}

// wrote looks at how a write to the client ended. After a failure it records
// the exchange.
func (r *responder) wrote(n int, err error) bool {
	if err == nil {
		r.back += int64(n)
		if r.req.call {
			r.pump.answered.Store(r.server.Engine.Clock.Now())
		}
		return true
	}
	outcome, detail := whyGone(r.client)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		outcome, detail = reason.ClientTimeout, "it stopped reading the answer"
		if !r.x.Answered && r.times.overdue() {
			outcome, detail = reason.UpstreamTimeout, r.times.lateness("")
		}
	}
	r.breakOff(outcome, detail)
	return false
}

// switchProtocols forwards an answer that accepts another protocol, and becomes
// a tunnel (RFC 9110 §15.2.2, RFC 8441 §5). The tunnel holds no Generation.
func (r *responder) switchProtocols() response {
	h, up := &r.x.Resp, r.attempt.up
	r.commit()
	r.x.OnResponse()
	r.x.Stick(r.attempt.endpoint)
	h.Drop(msg.ContentLength)
	r.times.limitAnswer(r.client, false)
	if !r.wrote(r.client.accept(h, r.req.upgrade)) {
		return brokenOff
	}
	t := l4.Tunnel{Idle: r.server.Engine.Limits.TunnelTimeout, WebSocket: r.req.upgrade.isWebSocket()}
	if read := r.x.Route.Rule.Forward.ReadTimeout; read > 0 {
		t.Idle = read
	}
	t.Up, t.FromUp = up.tunnel() // the head of the answer is no longer valid
	t.Client, t.FromClient = r.client.tunnel()
	view := r.x.View()
	t.Allowed = func(g *exchange.Generation) policy.Verdict { return g.MayAsk(view) }
	r.client.KeepOnHangup(up.Partner())
	r.x.Unpin()
	r.permitted, r.pump.permitted = permission{}, permission{}
	var why policy.Verdict
	r.req.in, r.back, why = r.server.L4.Tunnel(&t)
	r.x.Outcome, r.x.Policy, r.x.Detail = why.Outcome, why.Policy, why.Detail
	r.drop()
	r.client.abort()
	r.record()
	return brokenOff
}

// dropAltSvc takes the backend's Alt-Svc off where we have our own: where the
// backend can be reached by other means is of no use to our clients (RFC 7838).
func (r *responder) dropAltSvc() {
	if r.conn.altSvc() != nil {
		r.x.Resp.DropName([]byte("Alt-Svc"))
	}
}

// addAltSvc says that HTTP/3 is spoken here to clients that do not speak it, if
// the rule says nothing of its own.
func (r *responder) addAltSvc() {
	if value := r.conn.altSvc(); value != nil && r.conn.OffersHTTP3 && r.x.Resp.Lookup("Alt-Svc") == nil {
		r.x.Resp.Add(msg.OtherField, "Alt-Svc", value)
	}
}
