// Package call sends requests and counts how they ended: the engine behind the call
// command.
//
// It speaks HTTP/1.1 over its own connections. It uses net/http's message reader and
// writer but not its Transport, which silently sends a request again when a kept
// connection turns out to be dead. Here each request is sent once, and whatever prevents
// a complete response is an error with a name. So the count of lost requests is exact.
//
// Redirects are not followed, and proxies from the environment are not used. Of each
// response body 1 MiB is kept; the rest is read, so that the connection can be reused,
// and dropped. Names under localhost are 127.0.0.1 (RFC 6761 section 6.3).
package call
