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
		n, err := t.readAnswerHead()
		if err != nil {
			t.blameAnswer(err)
			return t.answerUnlessRepeated(t.endAttempt())
		}
		switch status := t.x.Resp.Status; {
		case status == 101:
			return t.switchProtocols(n), false
		case t.listed(status) && t.mayRetry():
			return t.answerUnlessRepeated(t.prepareRetry())
		case status >= 200:
			return t.relayFinal(n), false
		}
		if !t.relayInterim(n) {
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

// readAnswerHead reads a response head and returns its length.
func (t *transfer) readAnswerHead() (int, error) {
	var parser http1.Parser
	t.x.Resp.Reset()
	for {
		if t.up.In != nil {
			n, err := parser.Response(&t.x.Resp, t.up.In.Bytes(), &t.limits)
			if n > 0 || err != nil {
				return n, err
			}
		}
		if err := t.fill(); err != nil {
			return 0, err
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
		t.blame(reason.UpstreamReset, "it closed the connection before it answered")
	}
}

// relayInterim forwards a 1xx answer, such as 100 or 103, to clients that know
// of them (RFC 9110 §15.2).
func (t *transfer) relayInterim(n int) bool {
	http1.DropHopByHop(&t.x.Resp)
	if t.x.Req.Minor == 1 {
		t.x.Resp.Drop(msg.ContentLength) // RFC 9110 §8.6
		t.x.Resp.Drop(msg.Spoof)
		t.out = http1.AppendResponse(t.out[:0], &t.x.Resp)
		if !t.writeClient(t.out) {
			return false
		}
	}
	t.up.In.Advance(n)
	return true
}

// relayFinal forwards a final answer, whose head has n bytes.
func (t *transfer) relayFinal(n int) (again bool) {
	h := &t.x.Resp
	kind, length, err := http1.ResponseFraming(h, t.x.Req.Bytes(t.x.Req.Method))
	if err != nil {
		t.answerFailed(err)
		return t.answer()
	}
	reusable := http1.KeepsAlive(h) && kind != http1.UntilClose
	t.up.Doubtful = kind == http1.NoBody && string(h.Get(msg.ContentLength)) != "0"
	t.respBody = http1.NewBody(kind, length)
	rest := t.up.In.Bytes()[n:]
	data, taken, err := t.respBody.Compact(rest)
	if err != nil {
		t.answerFailed(err)
		return t.answer()
	}
	t.commit()
	t.x.OnResponse()
	t.x.Stick(t.endpoint)
	t.frameAnswer(kind)
	t.out = t.appendAnswer(http1.AppendResponse(t.out[:0], h), rest[:data])
	t.up.In.Advance(n + taken)
	if !t.writeClient(t.out) || !t.relayBody() {
		return false
	}
	t.release(reusable)
	t.x.Outcome = reason.OK
	t.record()
	return t.keepAlive
}

// frameAnswer says to the client how the answer ends, and whether the
// connection goes on.
func (t *transfer) frameAnswer(kind http1.Kind) {
	h := &t.x.Resp
	if h.Status == 204 {
		h.Drop(msg.ContentLength) // RFC 9110 §8.6
	}
	unknownLength := kind == http1.Chunked || kind == http1.UntilClose
	switch {
	case unknownLength && t.x.Req.Minor == 1:
		t.chunk = true
		h.Add(msg.TransferEncoding, "Transfer-Encoding", chunked)
	case unknownLength:
		t.keepAlive = false
	}
	if !t.requestTaken() {
		t.closeAfter() // the answer came before the request's end
	}
	t.addConnection()
}

func (t *transfer) addConnection() {
	if t.proxy.draining.Load() {
		t.closeAfter() // the client may have sent another request already
	}
	switch {
	case !t.keepAlive:
		t.x.Resp.Add(msg.Connection, "Connection", []byte("close"))
	case t.x.Req.Minor == 0:
		t.x.Resp.Add(msg.Connection, "Connection", []byte("keep-alive"))
	}
}

// appendAnswer frames a piece of the answer's body for the client.
func (t *transfer) appendAnswer(dst, data []byte) []byte {
	if !t.chunk {
		return append(dst, data...)
	}
	dst = appendChunk(dst, data)
	if t.respBody.Done() {
		dst = http1.AppendLastChunk(dst, t.respBody.Trailer())
	}
	return dst
}

// relayBody moves the rest of the answer's body. On failure it has recorded
// the exchange.
func (t *transfer) relayBody() bool {
	for !t.respBody.Done() {
		if err := t.fill(); err != nil {
			if !errors.Is(err, io.EOF) || !t.respBody.EOF() {
				return t.truncated(err)
			}
			if t.chunk && !t.writeClient(http1.AppendLastChunk(t.out[:0], nil)) {
				return false
			}
			break
		}
		in := t.up.In
		n, taken, err := t.respBody.Compact(in.Bytes())
		if err != nil {
			return t.truncated(err)
		}
		piece := in.Bytes()[:n]
		if t.chunk {
			t.out = t.appendAnswer(t.out[:0], piece)
			piece = t.out
		}
		if !t.writeClient(piece) {
			return false
		}
		in.Advance(taken)
	}
	return true
}

// truncated ends an exchange whose answer broke off: the client's connection
// is closed, so that it notices.
func (t *transfer) truncated(err error) bool {
	outcome, detail := reason.UpstreamTruncated, "it closed the connection in the middle of its answer"
	var broken *msg.Error
	switch {
	case errors.As(err, &broken):
		detail = broken.Text
	case t.client.Gone():
		outcome, detail = reason.ClientGone, ""
	case errors.Is(err, os.ErrDeadlineExceeded):
		outcome, detail = reason.UpstreamTimeout, t.lateness("its answer stopped coming")
	}
	if stopped := t.pump.stopped.Load(); stopped != 0 {
		outcome, detail = reason.Outcome(stopped-1), t.pump.detail
	}
	t.x.Outcome, t.x.Detail = outcome, detail
	t.drop()
	t.session.linger = false
	t.record()
	return false
}

// writeClient writes to the client. On failure it has recorded the exchange.
func (t *transfer) writeClient(p []byte) bool {
	if len(p) == 0 {
		return true
	}
	t.limitAnswer(t.proxy.clock.Now())
	_, err := t.client.Write(p)
	t.headersSent = true
	if err == nil {
		t.back += int64(len(p))
		return true
	}
	t.x.Outcome, t.x.Detail = reason.ClientGone, ""
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.x.Outcome, t.x.Detail = reason.ClientTimeout, "it stopped reading the answer"
		if !t.x.Answered && t.overdue() {
			t.x.Outcome, t.x.Detail = reason.UpstreamTimeout, t.lateness("")
		}
	}
	t.drop()
	t.session.linger = false
	t.record()
	return false
}
