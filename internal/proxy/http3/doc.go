// Package http3 serves HTTP/3 (RFC 9114) over quic-go, for the engine: [New] is
// what a main passes in proxy.Config.HTTP3.
//
// quic-go carries QUIC: packets, TLS, streams and their flow control. HTTP/3 over
// it is ours, with the codec of package wire/http3: quic-go's own gives each
// request as net/http has it, and refuses what is malformed, too large or too
// late by itself, where no limit, log or metric of ours would know of it.
//
// It is a package of its own because it links QUIC, which the data plane of the
// mesh must not: the engine knows it as an interface. One goroutine accepts the
// streams of a connection, one serves each request, and one reads each of the
// three streams that a client has open for the connection itself.
//
// 0-RTT is off: whoever sees a request sent that way can send it again (RFC 8446
// §8), and a proxy cannot know which of them a backend takes twice in its stride.
// It would save one round trip of connections that are resumed.
package http3
