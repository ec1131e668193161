// Package compress is the filter that compresses responses, with gzip, brotli or
// Zstandard. It is apart from the other filters because of the libraries that it links,
// which the mesh's data plane does not have.
//
// The client gets the backend's response in another content coding (RFC 9110 §8.4).
// Responses whose bytes must not change are left alone: those with no-transform, those
// that are encoded already or partial, and those with a digest of themselves
// (Content-MD5, and the fields of RFC 9530), which would be wrong for another coding;
// event streams and gRPC; and responses without a body, such as those to HEAD. A strong
// ETag becomes a weak one, as in nginx, because the compressed bytes may differ each
// time.
//
// Compressing a secret together with text that an attacker chooses reveals the secret
// by the length (BREACH). The application must avoid that, or send no-transform.
package compress
