package exchange

import (
	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/policy"
	"windrose.dev/windrose/internal/reason"
)

// ending is the response of an exchange, and how the exchange ended.
type ending struct {
	Resp msg.Head
	// Outcome and Detail say how the exchange ended, and Policy what allowed or denied it.
	Outcome reason.Outcome
	Detail  string
	Policy  string
	// Answered tells that the answer is our own; OwnBody is its body, if the rule has
	// one.
	Answered bool
	OwnBody  string
}

// Answer ends the exchange with an answer of our own. Fields may be added to
// x.Resp afterwards.
func (x *ending) Answer(status int, outcome reason.Outcome) {
	x.Resp.Reset()
	x.Resp.Status = status
	x.Outcome = outcome
	x.Answered, x.OwnBody = true, ""
}

// Fail ends the exchange with the answer that the table has for outcome.
func (x *ending) Fail(outcome reason.Outcome, detail string) {
	x.Answer(outcome.Row().Status, outcome)
	x.Detail = detail
}

// Deny ends the exchange because a policy says so.
func (x *ending) Deny(v policy.Verdict) {
	x.Fail(v.Outcome, v.Detail)
	x.Policy = v.Policy
}

// FailWith ends the exchange because a message broke a rule.
func (x *ending) FailWith(err error) {
	if broken, ok := err.(*msg.Error); ok {
		x.Fail(broken.Outcome, broken.Text)
		return
	}
	x.Fail(reason.BadRequest, err.Error())
}

// respond answers in the backend's place. A rule that has nothing to say is
// closed.
func (x *ending) respond(r *model.Respond) {
	if r == nil {
		x.Fail(reason.Closed, "the rule has no end")
		return
	}
	x.Answer(r.Status, r.Outcome)
	x.Detail, x.OwnBody = r.Why, r.Body
	for _, h := range r.Headers {
		x.Resp.Add(msg.OtherField, h.Name, []byte(h.Value))
	}
}
