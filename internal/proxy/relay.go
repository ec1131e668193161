package proxy

import (
	"errors"
	"io"
	"os"

	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/wire/http1"
	"windrose.dev/windrose/internal/reason"
)

// maxInterim bounds the interim (1xx) answers to one request.
const maxInterim = 16

// relay moves the backend's answer to the client, unless the rule's policy has
// the request repeated.
func (t *transfer) relay() (again, repeat bool) {
	for range maxInterim {
		if err := t.readAnswerHead(); err != nil {
			t.blameAnswer(err)
			return t.answerUnlessRepeated(t.endAttempt())
		}
		accepted, err := t.up.switched(&t.x.Resp)
		if err != nil {
			t.fail(reason.UpstreamInvalid, err.Error())
			return t.answer(), false
		}
		switch status := t.x.Resp.Status; {
		case accepted:
			return t.switchProtocols(), false
		case t.listed(status) && t.mayRetry():
			return t.answerUnlessRepeated(t.prepareRetry())
		case status >= 200:
			return t.relayFinal(), false
		}
		if !t.relayInterim() {
			return false, false
		}
	}
	t.fail(reason.UpstreamInvalid, "too many interim answers")
	return t.answer(), false
}

// answerUnlessRepeated answers with the failure in t.x, unless there is to be
// another attempt.
func (t *transfer) answerUnlessRepeated(repeat bool) (again, repeats bool) {
	if repeat {
		t.x.Answered, t.x.Detail = false, ""
		return false, true
	}
	return t.answer(), false
}

// readAnswerHead reads a response head.
func (t *transfer) readAnswerHead() error {
	t.x.Resp.Reset()
	for {
		if done, err := t.up.head(&t.x.Resp); done || err != nil {
			return err
		}
		if err := t.fill(); err != nil {
			return err
		}
	}
}

// answerFailed ends the work at the backend because no answer, or no valid one,
// came.
func (t *transfer) answerFailed(err error) {
	t.blameAnswer(err)
	t.drop()
}

// blameAnswer says why no answer, or no valid one, came from the backend.
func (t *transfer) blameAnswer(err error) {
	var broken *msg.Error
	switch {
	case errors.As(err, &broken):
		t.blame(reason.UpstreamInvalid, broken.Text)
	case errors.Is(err, os.ErrDeadlineExceeded):
		t.blame(reason.UpstreamTimeout, t.lateness("no answer within the read timeout"))
	default:
		t.blame(reason.UpstreamReset, resetDetail(err, "it closed the connection before it answered"))
	}
}

// relayInterim forwards a 1xx answer, such as 100 or 103 (RFC 9110 §15.2).
func (t *transfer) relayInterim() bool {
	h := &t.x.Resp
	http1.DropHopByHop(h)
	h.Drop(msg.ContentLength) // RFC 9110 §8.6
	h.Drop(msg.Spoof)
	t.headersSent = t.headersSent || t.x.Req.Minor > 0 // HTTP/1.0 has none
	t.limitAnswer(t.proxy.clock.Now())
	if !t.wrote(t.client.interim(h)) {
		return false
	}
	t.up.took()
	return true
}

// relayFinal forwards a final answer.
func (t *transfer) relayFinal() (again bool) {
	data, err := t.up.begin(&t.x.Resp)
	if err != nil {
		t.answerFailed(err)
		return t.answer()
	}
	t.commit()
	t.dropAltSvc()
	t.webFromGRPC()
	t.x.OnResponse()
	t.x.Stick(t.endpoint)
	if t.answerLength = t.up.length(); t.x.RecodeResponse != nil {
		t.answerLength = -1
		t.x.Resp.Drop(msg.ContentLength)
	}
	if data, err = t.recodeAnswer(data, t.up.done()); err != nil {
		t.answerFailed(err)
		return t.answer()
	}
	if !t.beginAnswer(data, t.up.done()) {
		return false
	}
	if t.up.took(); !t.relayBody() {
		return false
	}
	t.release()
	t.x.Outcome = reason.OK
	t.record()
	return t.client.goesOn()
}

// relayBody moves the rest of the answer's body. On failure it has recorded
// the exchange.
func (t *transfer) relayBody() bool {
	for !t.up.done() {
		if err := t.fill(); err != nil {
			if !errors.Is(err, io.EOF) || !t.up.ends() {
				return t.truncated(err)
			}
			last, err := t.recodeAnswer(nil, true)
			if err != nil {
				return t.truncated(err)
			}
			return t.writeAnswer(last, true)
		}
		data, err := t.up.data()
		if err == nil {
			data, err = t.recodeAnswer(data, t.up.done())
		}
		if err != nil {
			return t.truncated(err)
		}
		if !t.writeAnswer(data, t.up.done()) {
			return false
		}
		t.up.took()
	}
	return true
}

// truncated ends an exchange whose answer broke off: the client's connection
// is closed, so that it notices.
func (t *transfer) truncated(err error) bool {
	outcome, detail := reason.UpstreamTruncated, resetDetail(err, "it closed the connection in the middle of its answer")
	var broken *msg.Error
	switch {
	case errors.As(err, &broken):
		detail = broken.Text
	case t.client.Gone():
		outcome, detail = t.whyGone()
	case errors.Is(err, os.ErrDeadlineExceeded):
		outcome, detail = reason.UpstreamTimeout, t.lateness("its answer stopped coming")
	}
	if stopped := t.pump.stopped.Load(); stopped != 0 {
		outcome, detail = reason.Outcome(stopped-1), t.pump.detail
	}
	t.x.Outcome, t.x.Detail = outcome, detail
	t.drop()
	t.client.abort()
	t.record()
	return false
}

// beginAnswer sends the head in t.x.Resp and the first of the body. On failure
// it has recorded the exchange.
func (t *transfer) beginAnswer(data []byte, last bool) bool {
	if t.x.Resp.Status == 204 {
		t.x.Resp.Drop(msg.ContentLength) // RFC 9110 §8.6
	}
	t.addAltSvc()
	t.limitAnswer(t.proxy.clock.Now())
	t.headersSent = true
	return t.wrote(t.client.begin(&t.x.Resp, data, last))
}

// writeAnswer sends more of the body. On failure it has recorded the exchange.
func (t *transfer) writeAnswer(data []byte, last bool) bool {
	t.limitAnswer(t.proxy.clock.Now())
	return t.wrote(t.client.write(data, last))
}

// wrote looks at how a write to the client ended. After a failure it records
// the exchange.
func (t *transfer) wrote(n int, err error) bool {
	if err == nil {
		t.back += int64(n)
		if t.call {
			t.pump.answered.Store(t.proxy.clock.Now())
		}
		return true
	}
	t.x.Outcome, t.x.Detail = t.whyGone()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.x.Outcome, t.x.Detail = reason.ClientTimeout, "it stopped reading the answer"
		if !t.x.Answered && t.overdue() {
			t.x.Outcome, t.x.Detail = reason.UpstreamTimeout, t.lateness("")
		}
	}
	t.drop()
	t.client.abort()
	t.record()
	return false
}
