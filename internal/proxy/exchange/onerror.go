package exchange

import (
	"math/bits"
	"slices"
	"time"

	"windrose.dev/windrose/internal/reason"
)

// MayRepeat reports whether the request may be sent again after it may have
// reached a backend: its method is idempotent (RFC 9110 §9.2.2).
func (x *request) MayRepeat() bool {
	switch string(x.Req.Bytes(x.Req.Method)) {
	case "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE":
		return true
	}
	return false
}

// OnError reports whether the route's policy has the request sent again after the
// failure that stands in x (see Fail). One that can have had an effect counts as the
// status that the client would get, unless the method is safe to repeat. attemptOver
// tells that the attempt has taken as long as it may.
func (x *Exchange) OnError(attemptOver bool) (again bool) {
	if x.Route.Retry == nil {
		return false
	}
	listed := x.RepeatsStatus(x.Resp.Status)
	switch x.Outcome {
	case reason.ConnectFailed, reason.ConnectTimeout:
		return true
	case reason.UpstreamReset:
		return x.MayRepeat() || listed
	case reason.UpstreamTimeout:
		return attemptOver || listed
	case reason.UpstreamInvalid:
		return listed
	}
	return false
}

// RepeatsStatus reports whether the route's policy has requests sent again that are
// answered with a status.
func (x *Exchange) RepeatsStatus(status int) bool {
	return x.Route.Retry != nil && slices.Contains(x.Route.Retry.Codes, status)
}

const (
	// defaultBackoff is the pause before the first repeated attempt of a policy
	// that names none, and maxBackoff the longest of one that does not ask for
	// more.
	defaultBackoff = 25 * time.Millisecond
	maxBackoff     = 10 * time.Second
)

// Backoff is the pause before a repeated attempt, of which there were some already: it
// doubles each time, and is never shorter than the policy asks for. Chance keeps
// clients that failed together apart.
func (x *Exchange) Backoff(repeated int) time.Duration {
	least := x.Route.Retry.Backoff
	if least <= 0 {
		least = defaultBackoff
	}
	pause := min(least<<min(repeated, 16), max(maxBackoff, least))
	more, _ := bits.Mul64(x.Gen.chance.draw(), uint64(pause/2+1))
	return pause + time.Duration(more)
}
