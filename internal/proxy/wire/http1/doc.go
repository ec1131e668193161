// Package http1 is a codec for HTTP/1.1, for both sides of a proxy: [Parser] parses
// heads, [Body] decodes bodies, and the Append functions write. It does no I/O and
// keeps no reference to its input beyond the current message.
//
// It is strict where leniency permits request smuggling (RFC 9112 §11.2): lines end
// with CRLF, there is no line folding, no space around field names, one Host, one
// length, and chunk sizes are plain hexadecimal. It rejects a message with an [Error]
// that names the rule and the Outcome.
package http1
