// Package http2 is a codec for HTTP/2 (RFC 9113), for both sides. It turns bytes into
// events and calls into bytes. It does no I/O, and has no goroutines and no clock: the
// owner of a Conn guards it with a lock, passes the received bytes and the time to it,
// and writes its output.
//
// Heads are msg.Heads in the form that they would have over HTTP/1: the same views
// serve routes, filters and both codecs. The codec never passes on a malformed message:
// it resets the stream or ends the connection, as RFC 9113 requires.
//
// The work that a peer can cause cheaply is bounded: resets, settings, pings, empty
// frames and header blocks each have a budget that is refilled over time (see budget).
// A peer that exceeds a budget gets ENHANCE_YOUR_CALM. For header compression we decode
// with the dynamic table and encode only with the static table, as HAProxy does: a
// connection needs no memory for encoding, and secrets never enter a table that an
// attacker can probe (RFC 7541 §7.1).
package http2
