// Package section reads and writes field sections (RFC 9110 §5), which HTTP/2 and
// HTTP/3 have in common, one field at a time as HPACK or QPACK has decoded it.
//
// A head becomes a msg.Head in the form that it would have over HTTP/1; a trailer
// section becomes lines. The rules are those of RFC 9113 §8 and RFC 9114 §4, which are
// the same. A section that breaks a rule is malformed, and Malformed names the rule. A
// section that exceeds one of our limits has a Fault, for which a response can be sent.
// The codec decides what either means for the stream.
package section
