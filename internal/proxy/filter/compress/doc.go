// Package compress is the filter that compresses answers, in gzip, brotli and
// Zstandard. It is apart from the other filters because of what it links: the
// mesh's data plane has none of it.
//
// What the client gets is what the backend said, in another content coding (RFC
// 9110 §8.4). Answers whose bytes matter stay as they are: those that say
// no-transform, that are encoded already, or a part of something, or that carry
// a digest of themselves (Content-MD5, and the fields of RFC 9530), which would
// be wrong of another coding; streams of events and gRPC; and what has no body,
// HEAD among it. A strong ETag becomes a weak one, as nginx has it: the bytes are
// others each time.
//
// Whoever compresses a secret beside what an attacker may choose tells its length
// (BREACH): it is for the application not to do that, or to say no-transform.
package compress
