// Package http3 serves HTTP/3 (RFC 9114) over quic-go, for the engine: a main passes
// [New] in proxy.Config.HTTP3.
//
// quic-go implements QUIC: packets, TLS, streams and their flow control. HTTP/3 over it
// is our own, with the codec of package wire/http3: quic-go's HTTP/3 delivers requests
// as net/http does, and itself rejects those that are malformed, too large or too slow,
// outside our limits, logs and metrics.
//
// It is a package of its own because it links QUIC, which the mesh's data plane must
// not: the engine knows it as an interface. One goroutine accepts the streams of a
// connection, one serves each request, and one reads each of the client's three
// unidirectional streams (control, QPACK encoder and decoder).
//
// 0-RTT is off: an attacker can replay 0-RTT requests (RFC 8446 §8), and a proxy cannot
// know which requests a backend can safely process twice. 0-RTT would save one round
// trip on resumed connections.
package http3
