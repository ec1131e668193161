package httpx

import (
	"errors"
	"io"
	"os"

	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/proxy/l4"
	"windrose.dev/windrose/internal/proxy/msg"
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
func (d *driver) respond() response {
	for range maxInterim {
		if err := d.readAnswerHead(); err != nil {
			d.blameAnswer(err)
			return d.repeatsIf(d.endAttempt())
		}
		accepted, err := d.attempt.up.switched(&d.x.Resp)
		if err != nil {
			d.fail(reason.UpstreamInvalid, err.Error())
			return failed
		}
		switch status := d.x.Resp.Status; {
		case accepted:
			return d.switchProtocols()
		case lists(d.x.Route, status) && d.mayRetry():
			return d.repeatsIf(d.prepareRetry())
		case status >= 200:
			return d.respondFinal()
		}
		if !d.respondInterim() {
			return brokenOff
		}
	}
	d.fail(reason.UpstreamInvalid, "too many interim answers")
	return failed
}

// repeatsIf is repeats, or that the failure in d.x is to be answered.
func (d *driver) repeatsIf(repeat bool) response {
	if repeat {
		d.x.Answered, d.x.Detail = false, ""
		return repeats
	}
	return failed
}

// readAnswerHead reads a response head.
func (d *driver) readAnswerHead() error {
	d.x.Resp.Reset()
	for {
		if done, err := d.attempt.up.head(&d.x.Resp); done || err != nil {
			return err
		}
		if err := d.fill(); err != nil {
			return err
		}
	}
}

// answerFailed ends the work at the backend because no answer, or no valid one,
// came.
func (d *driver) answerFailed(err error) response {
	d.blameAnswer(err)
	d.drop()
	return failed
}

// blameAnswer says why no answer, or no valid one, came from the backend.
func (d *driver) blameAnswer(err error) {
	var broken *msg.Error
	switch {
	case errors.As(err, &broken):
		d.blame(reason.UpstreamInvalid, broken.Text)
	case errors.Is(err, os.ErrDeadlineExceeded):
		d.blame(reason.UpstreamTimeout, d.times.lateness("no answer within the read timeout"))
	default:
		d.blame(reason.UpstreamReset, resetDetail(err, "it closed the connection before it answered"))
	}
}

// respondInterim forwards a 1xx answer, such as 100 or 103 (RFC 9110 §15.2).
func (d *driver) respondInterim() bool {
	h := &d.x.Resp
	http1.DropHopByHop(h)
	h.Drop(msg.ContentLength) // RFC 9110 §8.6
	h.Drop(msg.Spoof)
	d.headSent = d.headSent || d.x.Req.Minor > 0 // HTTP/1.0 has none
	d.times.limitAnswer(d.client, false)
	if !d.wrote(d.client.interim(h)) {
		return false
	}
	d.attempt.up.took()
	return true
}

// respondFinal forwards a final answer.
func (d *driver) respondFinal() response {
	up := d.attempt.up
	data, err := up.begin(&d.x.Resp)
	if err != nil {
		return d.answerFailed(err)
	}
	d.commit()
	d.dropAltSvc()
	d.req.webFromGRPC()
	d.x.OnResponse()
	d.x.Stick(d.attempt.endpoint)
	length := up.length()
	if d.x.RecodeResponse != nil {
		length = -1
		d.x.Resp.Drop(msg.ContentLength)
	}
	if data, err = d.recode(data, up.done()); err != nil {
		return d.answerFailed(err)
	}
	if !d.beginAnswer(length, data, up.done()) {
		return brokenOff
	}
	if up.took(); !d.respondBody() {
		return brokenOff
	}
	d.release()
	d.x.Outcome = reason.OK
	d.record()
	return responded
}

// recode changes a part of the answer's body.
func (d *driver) recode(data []byte, last bool) ([]byte, error) {
	return recoded(d.x.RecodeResponse, &d.recoded, data, last, d.attempt.up)
}

// part is a piece of the answer's body as it goes to the client.
func (d *driver) part(data []byte, last bool) part {
	p := part{data: data, last: last}
	if r := d.x.RecodeResponse; last && d.attempt.up != nil && (r == nil || !r.TakesTrailer()) {
		p.trailer = d.attempt.up.trailer()
	}
	return p
}

// respondBody moves the rest of the answer's body. On failure it has recorded
// the exchange.
func (d *driver) respondBody() bool {
	up := d.attempt.up
	for !up.done() {
		if err := d.fill(); err != nil {
			if !errors.Is(err, io.EOF) || !up.ends() {
				return d.truncated(err)
			}
			last, err := d.recode(nil, true)
			if err != nil {
				return d.truncated(err)
			}
			return d.writeAnswer(last, true)
		}
		data, err := up.data()
		if err == nil {
			data, err = d.recode(data, up.done())
		}
		if err != nil {
			return d.truncated(err)
		}
		if !d.writeAnswer(data, up.done()) {
			return false
		}
		up.took()
	}
	return true
}

// truncated ends an exchange whose answer broke off: the client's connection
// is closed, so that it notices.
func (d *driver) truncated(err error) bool {
	outcome, detail := reason.UpstreamTruncated, resetDetail(err, "it closed the connection in the middle of its answer")
	var broken *msg.Error
	switch {
	case errors.As(err, &broken):
		detail = broken.Text
	case d.client.Gone():
		outcome, detail = whyGone(d.client)
	case errors.Is(err, os.ErrDeadlineExceeded):
		outcome, detail = reason.UpstreamTimeout, d.times.lateness("its answer stopped coming")
	}
	if why, text, stopped := d.pump.why(); stopped {
		outcome, detail = why, text
	}
	d.breakOff(outcome, detail)
	return false
}

// breakOff ends and records an exchange whose client is not to be answered any more.
func (d *driver) breakOff(outcome reason.Outcome, detail string) {
	d.x.Outcome, d.x.Detail = outcome, detail
	d.drop()
	d.client.abort()
	d.record()
}

// beginAnswer sends the head in d.x.Resp and the first of the body, whose length is
// given, or -1. On failure it has recorded the exchange.
func (d *driver) beginAnswer(length int64, data []byte, last bool) bool {
	if d.x.Resp.Status == 204 {
		d.x.Resp.Drop(msg.ContentLength) // RFC 9110 §8.6
	}
	d.addAltSvc()
	d.times.limitAnswer(d.client, d.x.Answered)
	d.headSent = true
	d.answer = answer{
		head: &d.x.Resp, length: length, own: d.x.Answered, requestDone: d.pump.requestTaken(), part: d.part(data, last),
	}
	return d.wrote(d.client.begin(&d.answer))
}

// writeAnswer sends more of the body. On failure it has recorded the exchange.
func (d *driver) writeAnswer(data []byte, last bool) bool {
	d.times.limitAnswer(d.client, d.x.Answered)
	return d.wrote(d.client.write(d.part(data, last)))
}

// wrote looks at how a write to the client ended. After a failure it records
// the exchange.
func (d *driver) wrote(n int, err error) bool {
	if err == nil {
		d.back += int64(n)
		if d.req.call {
			d.pump.answered.Store(d.server.Engine.Clock.Now())
		}
		return true
	}
	outcome, detail := whyGone(d.client)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		outcome, detail = reason.ClientTimeout, "it stopped reading the answer"
		if !d.x.Answered && d.times.overdue() {
			outcome, detail = reason.UpstreamTimeout, d.times.lateness("")
		}
	}
	d.breakOff(outcome, detail)
	return false
}

// switchProtocols forwards an answer that accepts another protocol, and becomes
// a tunnel (RFC 9110 §15.2.2, RFC 8441 §5). The tunnel holds no Generation.
func (d *driver) switchProtocols() response {
	h, up := &d.x.Resp, d.attempt.up
	d.commit()
	d.x.OnResponse()
	d.x.Stick(d.attempt.endpoint)
	h.Drop(msg.ContentLength)
	d.times.limitAnswer(d.client, false)
	if !d.wrote(d.client.accept(h, d.req.upgrade)) {
		return brokenOff
	}
	t := l4.Tunnel{Idle: d.server.Engine.Limits.TunnelTimeout, WebSocket: d.req.upgrade.isWebSocket()}
	if read := d.x.Route.Rule.Forward.ReadTimeout; read > 0 {
		t.Idle = read
	}
	t.Up, t.FromUp = up.tunnel() // the head of the answer is no longer valid
	t.Client, t.FromClient = d.client.tunnel()
	listener, view := d.conn.Peer.Listener, d.x.View()
	t.Allowed = func(g *exchange.Generation) bool { return !g.Closed(listener, view) }
	d.client.KeepOnHangup(up.Partner())
	d.x.Unpin()
	d.req.in, d.back, d.x.Outcome = d.server.L4.Tunnel(&t)
	d.drop()
	d.client.abort()
	d.record()
	return brokenOff
}

// dropAltSvc takes the backend's Alt-Svc off where we have our own: where the
// backend can be reached by other means is of no use to our clients (RFC 7838).
func (d *driver) dropAltSvc() {
	if d.conn.altSvc() != nil {
		d.x.Resp.DropName([]byte("Alt-Svc"))
	}
}

// addAltSvc says that HTTP/3 is spoken here to clients that do not speak it, if
// the rule says nothing of its own.
func (d *driver) addAltSvc() {
	if value := d.conn.altSvc(); value != nil && d.conn.OffersHTTP3 && d.x.Resp.Lookup("Alt-Svc") == nil {
		d.x.Resp.Add(msg.OtherField, "Alt-Svc", value)
	}
}
