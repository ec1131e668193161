package httpx

import (
	"strconv"
	"time"

	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/reason"
)

// answerOwn sends an answer of our own, which stands in r.x. It reports whether
// the connection can carry another request.
func (r *responder) answerOwn() (again bool) {
	if r.x.Outcome == reason.ClientGone {
		r.client.abort()
		r.record()
		return false
	}
	if r.x.Outcome == reason.BadRequest || !r.client.skip() {
		r.client.closeAfter()
	}
	if r.succeeds() && r.x.BodyLength > 0 {
		r.client.discard()
	}
	var text []byte
	if r.req.call && r.x.Outcome != reason.Redirected {
		r.req.answerCall()
		r.ownLength = 0
	} else {
		text = r.ownAnswer()
	}
	if !r.beginAnswer(r.ownLength, text, true) {
		return false
	}
	r.record()
	return r.client.goesOn()
}

// succeeds reports whether the answer's status says to clients that all is well.
func (r *responder) succeeds() bool {
	return (r.req.call || r.x.Resp.Status < 300) && r.x.Outcome != reason.ClientTimeout
}

// ownAnswer completes the head of an answer of our own with what the filters
// add, and returns its body: a short text that names the Outcome and the
// request.
func (r *responder) ownAnswer() []byte {
	x, h := &r.x, &r.x.Resp
	text := ownText(x)
	if r.ownLength = int64(len(text)); h.Status != 204 {
		if len(text) > 0 && h.Lookup("Content-Type") == nil {
			h.Add(msg.ContentType, "Content-Type", []byte("text/plain; charset=utf-8"))
		}
		h.Add(msg.ContentLength, "Content-Length", strconv.AppendInt(nil, int64(len(text)), 10))
	}
	h.Add(msg.Date, "Date", time.Now().UTC().AppendFormat(nil, "Mon, 02 Jan 2006 15:04:05 GMT"))
	if len(x.RequestID) > 0 {
		h.Add(msg.XRequestID, "X-Request-ID", x.RequestID)
	}
	x.FilterResponse()
	if h.Status == 204 || string(x.Req.Bytes(x.Req.Method)) == "HEAD" {
		return nil
	}
	return text
}

// ownText is the body of an answer of our own: nothing for those that need
// none. What is wrong with a message is said to whoever sent it; why a backend
// could not be reached is not.
func ownText(x *exchange.Exchange) []byte {
	if x.OwnBody != "" {
		return []byte(x.OwnBody)
	}
	if x.Outcome == reason.Redirected || x.Outcome == reason.Answered {
		return nil
	}
	text := strconv.AppendInt(nil, int64(x.Resp.Status), 10)
	text = append(append(text, ' '), phraseOf(x.Resp.Status)...)
	text = append(append(text, "\noutcome: "...), x.Outcome.String()...)
	if x.Outcome == reason.BadRequest || x.Outcome == reason.NotImplemented {
		text = append(append(text, "\ndetail: "...), x.Detail...)
	}
	if len(x.RequestID) > 0 {
		text = append(append(text, "\nrequest: "...), x.RequestID...)
	}
	return append(text, '\n')
}

// phrases are the reason phrases of RFC 9110 §15 for the answers that we give.
var phrases = map[int]string{
	200: "OK", 204: "No Content",
	301: "Moved Permanently", 302: "Found", 303: "See Other", 307: "Temporary Redirect", 308: "Permanent Redirect",
	400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 408: "Request Timeout",
	413: "Content Too Large", 414: "URI Too Long", 421: "Misdirected Request", 429: "Too Many Requests",
	431: "Request Header Fields Too Large", 500: "Internal Server Error", 501: "Not Implemented",
	502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout",
}

// phraseOf may be empty: clients ignore it (RFC 9112 §4).
func phraseOf(status int) string { return phrases[status] }
