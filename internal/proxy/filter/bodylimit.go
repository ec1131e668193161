package filter

import (
	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/reason"
)

// bodyLimit rejects bodies that are known to be too large, and makes the others be
// counted while they are forwarded.
type bodyLimit struct {
	requestOnly
	max int64
}

func newBodyLimit(b *model.BodyLimit) (exchange.Filter, error) {
	return bodyLimit{max: b.Max}, nil
}

func (f bodyLimit) Request(x *exchange.Exchange) bool {
	x.MaxBody = f.max
	if x.BodyLength > f.max {
		x.Fail(reason.BodyTooLarge, "")
		return true
	}
	return false
}
