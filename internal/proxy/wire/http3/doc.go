// Package http3 is the codec of HTTP/3 (RFC 9114) on a server's side: bytes of
// streams in, calls in and bytes out. It knows nothing of QUIC, does no I/O, and
// has no goroutines and no clock; whoever owns a stream hands its Reader what
// came, and sends what the functions that append return.
//
// Heads are msg.Heads, laid out as those of HTTP/2 are: the same views serve
// routes, filters and all codecs. What is malformed never leaves the codec: it
// is a [StreamError] or a [ConnError], as RFC 9114 says.
//
// We say that we keep no dynamic table, and use none (RFC 9204 §3.2): a field
// section never waits for another stream, and one client costs no memory for
// compression.
package http3
