// Package httpx drives exchanges: one request and its answer, from the client's end to
// the backend's and back.
//
// A [Server] is given requests by whoever accepts connections. For each it takes a
// driver from a pool, has package exchange decide, and moves the bytes. A driver has
// two ends, a client and a backend; each is HTTP/1 on a connection or a stream of a
// later version, and knows nothing of the driver, of routes or of the other end. What
// is to be repeated, how long anything may take and what is recorded is said once, for
// all versions.
//
// One goroutine serves an exchange: the connection's for HTTP/1, the stream's for
// later versions. A second one, the pump, runs only while the request's body is still
// coming. In the steady state an exchange allocates nothing.
package httpx
