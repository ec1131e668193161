// Package http1 is HTTP/1.1 as bytes in and events out, for both sides of a
// proxy: [Parser] reads heads, [Body] decodes bodies, and the Append functions
// write. It does no I/O and keeps no reference to what it was given beyond the
// message that is being read.
//
// It is strict where laxness is how requests are smuggled (RFC 9112 §11.2):
// line ends are CRLF, there is no folding, no space around field names, one
// Host, one length, and chunk sizes are plain hexadecimal. What it refuses, it
// refuses with an [Error] that names the rule and the Outcome.
package http1
