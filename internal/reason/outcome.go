package reason

import "fmt"

// Outcome is the one code that says how a Flow ended. It appears in the access log, in
// metrics, and in the body of responses that the proxy itself gives.
type Outcome uint8

// The outcomes. Their names, statuses and texts are in the table below.
const (
	OK Outcome = iota
	Redirected
	Answered
	Upgraded
	NoRoute
	Closed
	BackendInvalid
	NoEndpoint
	ConnectFailed
	ConnectTimeout
	UpstreamReset
	UpstreamInvalid
	UpstreamTimeout
	UpstreamTruncated
	ClientGone
	ClientTimeout
	BadRequest
	HeadersTooLarge
	URITooLong
	BodyTooLarge
	NotImplemented
	MethodRefused
	Overloaded
	HandshakeFailed
	InternalError
	UpstreamTLSFailed
	Misdirected
	IdleTimeout
	Drained
	BadProxyHeader
	ClientAbuse
	Denied
)

// OutcomeRow is the table's row for an Outcome.
type OutcomeRow struct {
	Outcome Outcome
	Name    string
	// Status is the status of the proxy's own response; 0 if it gives none.
	Status int
	Doc    string
	Fix    string
}

var outcomes = [...]OutcomeRow{
	OK:                {OK, "ok", 0, "The backend answered, and the answer reached the client.", ""},
	Redirected:        {Redirected, "redirected", 308, "A rule answered with a redirect.", ""},
	Answered:          {Answered, "answered", 200, "A rule answered in the backend's place, such as a CORS preflight.", ""},
	Upgraded:          {Upgraded, "upgraded", 101, "The connection became a tunnel, such as a WebSocket, and ended in order.", ""},
	NoRoute:           {NoRoute, "no_route", 404, "No rule matches the host and path.", "add a rule for this host and path, or a default backend"},
	Closed:            {Closed, "closed", 503, "The rule is closed, because something that guards it is missing, invalid or not honoured.", "see the Reports of the object that the rule comes from"},
	BackendInvalid:    {BackendInvalid, "backend_invalid", 503, "The rule's backend does not exist or cannot be used.", "see the Reports of the object that the rule comes from"},
	NoEndpoint:        {NoEndpoint, "no_endpoint", 503, "The service has no endpoint that is ready.", "check that the pods run, are ready, and that the selector matches them"},
	ConnectFailed:     {ConnectFailed, "connect_failed", 502, "No connection to an endpoint could be made.", "check that the pods listen on the target port"},
	ConnectTimeout:    {ConnectTimeout, "connect_timeout", 504, "An endpoint did not accept a connection in time.", "check the network path, or raise proxy-connect-timeout"},
	UpstreamReset:     {UpstreamReset, "upstream_reset", 502, "The endpoint closed the connection before it answered.", "look for crashes, and keep-alive times below 4 s, in the backend"},
	UpstreamInvalid:   {UpstreamInvalid, "upstream_invalid", 502, "The endpoint's answer is not valid HTTP.", "check the protocol of the target port"},
	UpstreamTimeout:   {UpstreamTimeout, "upstream_timeout", 504, "The endpoint did not answer, or did not take the request, in time.", "find what is slow in the backend, or raise proxy-read-timeout"},
	UpstreamTruncated: {UpstreamTruncated, "upstream_truncated", 0, "The endpoint's answer broke off after it had begun; the client's connection was closed so that it notices.", "look for crashes in the backend"},
	ClientGone:        {ClientGone, "client_gone", 499, "The client went away before the answer was complete.", "nothing to do here; look for client timeouts"},
	ClientTimeout:     {ClientTimeout, "client_timeout", 408, "The client did not send its request, or take the answer, in time.", "raise the header or body timeout if such clients are wanted"},
	BadRequest:        {BadRequest, "bad_request", 400, "The request is not valid HTTP.", "look at the client; the message says which rule it broke"},
	HeadersTooLarge:   {HeadersTooLarge, "headers_too_large", 431, "The request's header section is too large, or has too many fields.", "send less, often fewer cookies, or raise the header limits"},
	URITooLong:        {URITooLong, "uri_too_long", 414, "The request's target is too long.", "use POST, or raise the URI limit"},
	BodyTooLarge:      {BodyTooLarge, "body_too_large", 413, "The request's body is larger than the route allows.", "send less, or raise proxy-body-size"},
	NotImplemented:    {NotImplemented, "not_implemented", 501, "The request needs a method, coding or protocol that the proxy does not speak.", "look at the client"},
	MethodRefused:     {MethodRefused, "method_refused", 405, "The method is one that the proxy does not pass on.", "use another method"},
	Overloaded:        {Overloaded, "overloaded", 503, "The proxy is at one of its own limits and takes no new work.", "add replicas or memory, or raise the limit that the log names"},
	HandshakeFailed:   {HandshakeFailed, "handshake_failed", 0, "A TLS handshake failed, so there was no request.", "check certificates, names and protocol versions"},
	Misdirected:       {Misdirected, "misdirected", 421, "The request is for a host of another listener than the one that the connection's server name chose.", "clients open another connection by themselves; a certificate that covers hosts of both listeners invites them to try"},
	IdleTimeout:       {IdleTimeout, "idle_timeout", 0, "Neither side of a relayed connection said anything for too long, so it was closed.", "raise the tunnel timeout, or have one side send keep-alives"},
	Drained:           {Drained, "drained", 0, "The proxy was stopping, or a UDP port was closed, and what was relayed had not ended.", "raise the drain wait if such connections end by themselves"},
	BadProxyHeader:    {BadProxyHeader, "bad_proxy_header", 0, "A peer that must say by PROXY protocol whose connection it passes on did not, or not in time, or in a way that nobody understands. The connection was closed.", "turn the PROXY protocol on at the balancer that the log names as the client, or take its address out of --proxy-protocol-from"},
	ClientAbuse:       {ClientAbuse, "client_abuse", 0, "A client of HTTP/2 or HTTP/3 had the proxy do work that nobody pays for: floods of streams that are reset, of settings, pings or empty frames, or header blocks without end. Its connection was closed.", "look at the client; well-behaved ones come nowhere near the bounds"},
	Denied:            {Denied, "denied", 403, "A policy denies the request or the connection, or none that there is allows it.", "the log and explain name the policy; change it if this client is meant to come in"},
	InternalError:     {InternalError, "internal_error", 500, "A defect in the proxy. It is contained in this one connection.", "please report it with the log line"},
	UpstreamTLSFailed: {UpstreamTLSFailed, "upstream_tls_failed", 502, "An endpoint is not who it should be, or agreed to no TLS. Nothing was sent to it.", "compare its certificate with the policy for its Service; the log's detail says what differs"},
}

// Outcomes returns the table, one row for each Outcome, in a stable order.
func Outcomes() []OutcomeRow { return outcomes[:] }

// Row returns the table's row for o.
func (o Outcome) Row() OutcomeRow {
	if int(o) >= len(outcomes) {
		return OutcomeRow{Outcome: o, Name: fmt.Sprintf("outcome(%d)", uint8(o))}
	}
	return outcomes[o]
}

func (o Outcome) String() string { return o.Row().Name }

// MarshalText returns the outcome's name.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }
