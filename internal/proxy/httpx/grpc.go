package httpx

import (
	"strconv"
	"time"

	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/reason"
)

// The status codes of gRPC that we answer with.
const (
	grpcUnknown          = 2
	grpcDeadlineExceeded = 4
	grpcPermissionDenied = 7
	grpcExhausted        = 8
	grpcUnimplemented    = 12
	grpcInternal         = 13
	grpcUnavailable      = 14
	grpcUnauthenticated  = 16
)

// grpcOfStatus is what gRPC's clients make of an HTTP status
// (grpc/doc/http-grpc-status-mapping.md), and of those that it leaves out.
var grpcOfStatus = map[int]int{
	400: grpcInternal, 401: grpcUnauthenticated, 403: grpcPermissionDenied, 404: grpcUnimplemented,
	413: grpcExhausted, 431: grpcExhausted,
	429: grpcUnavailable, 502: grpcUnavailable, 503: grpcUnavailable, 504: grpcUnavailable,
}

// grpcStatus is the status of an answer of ours to a call.
func grpcStatus(status int, outcome reason.Outcome) int {
	if outcome == reason.UpstreamTimeout || outcome == reason.ClientTimeout {
		return grpcDeadlineExceeded
	}
	if code := grpcOfStatus[status]; code != 0 {
		return code
	}
	return grpcUnknown
}

// isGRPC reports whether a request is a call of gRPC: its content type is
// application/grpc, or that with a suffix (grpc/doc/PROTOCOL-HTTP2.md).
func isGRPC(h *msg.Head) bool {
	const name = "application/grpc"
	value := h.Get(msg.ContentType)
	return len(value) >= len(name) && msg.EqualFold(value[:len(name)], name) &&
		(len(value) == len(name) || value[len(name)] == '+' || value[len(name)] == ';')
}

// answerCall makes an answer of our own one that clients of gRPC and gRPC-Web
// understand: its status stands in the head, and there is no body.
func (r *request) answerCall() {
	h := &r.x.Resp
	code := grpcStatus(h.Status, r.x.Outcome)
	h.Status = 200
	if r.web != nil {
		r.web.setType(h)
	} else {
		h.SetName("content-type", []byte("application/grpc"))
	}
	h.SetName("grpc-status", strconv.AppendInt(nil, int64(code), 10))
	h.SetName("grpc-message", []byte("windrose: "+r.x.Outcome.String()))
	r.x.FilterResponse()
}

// deadlineSlack is how much earlier than we a backend may find that a caller's
// deadline has passed: it keeps the same one, and resets the stream.
const deadlineSlack = 5 * time.Millisecond

// grpcUnits are the units of a timeout.
var grpcUnits = map[byte]time.Duration{
	'H': time.Hour, 'M': time.Minute, 'S': time.Second, 'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond,
}

// longestCall stands for times that are beyond counting.
const longestCall = 365 * 24 * time.Hour

// grpcTimeout reads how long a caller waits: up to eight digits and a unit.
func grpcTimeout(h *msg.Head) (time.Duration, bool) {
	value := h.Lookup("grpc-timeout")
	if len(value) < 2 || len(value) > 9 {
		return 0, false
	}
	unit, known := grpcUnits[value[len(value)-1]]
	n, ok := msg.ParseLength(value[:len(value)-1])
	if known && ok && n > int64(longestCall/unit) {
		return longestCall, true
	}
	return time.Duration(n) * unit, known && ok
}

// timeLimit bounds the exchange: by its route, and by how long a caller of gRPC
// waits. 0 is no bound.
func (r *request) timeLimit() time.Duration {
	limit := r.x.Route.Timeout
	if r.call {
		if asked, ok := grpcTimeout(&r.x.Req); ok && (limit == 0 || asked < limit) {
			return max(asked, 1)
		}
	}
	return limit
}
