// Package http3 is the server's codec for HTTP/3 (RFC 9114). It turns the bytes of
// streams into events and calls into bytes. It knows nothing of QUIC, does no I/O, and
// has no goroutines and no clock: the owner of a stream passes the received bytes to
// its Reader, and sends what the Append functions return.
//
// Heads are msg.Heads in the same form as those of HTTP/2: the same views serve routes,
// filters and all codecs. The codec never passes on a malformed message: it returns a
// [StreamError] or a [ConnError], as RFC 9114 requires.
//
// We permit clients no QPACK dynamic table, and use none (RFC 9204 §3.2): a field
// section never waits for another stream, and a connection needs no memory for
// compression.
package http3
