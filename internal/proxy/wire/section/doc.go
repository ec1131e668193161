// Package section reads and writes what HTTP/2 and HTTP/3 have in common: field
// sections (RFC 9110 §5), one field at a time as HPACK or QPACK has decoded it.
//
// A head becomes a msg.Head that is laid out as if it had come over HTTP/1; a
// trailer section becomes lines. The rules are those of RFC 9113 §8 and RFC 9114
// §4, which differ in their numbers only. What breaks one is malformed, and says
// so; what breaks a limit of ours is a fault, which can be answered. What either
// means for a stream is up to the codec.
package section
