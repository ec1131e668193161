// Package http2 is the codec of HTTP/2 (RFC 9113), for both sides: bytes in and
// events out, calls in and bytes out. It does no I/O, has no goroutines and no
// clock; whoever owns a Conn guards it with a lock, hands it what came, writes
// what stands in its output, and says what time it is.
//
// Heads are msg.Heads, laid out as if they had come over HTTP/1: the same views
// serve routes, filters and both codecs. What is malformed never leaves the
// codec: it resets the stream, or ends the connection, as RFC 9113 says.
//
// What a peer can make us do without paying for it is bounded: resets,
// settings, pings, empty frames and header blocks each have a budget that is
// refilled with time (see budget), and a peer that exceeds one is told
// ENHANCE_YOUR_CALM. Header compression reads the dynamic table and writes only
// from the static one, as HAProxy does: nothing is kept for a connection, and
// nothing that is secret goes into a table that others probe (RFC 7541 §7.1).
package http2
