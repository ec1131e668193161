// Package sniff reads what a TLS client says in the clear: the server name of its
// ClientHello (RFC 8446 §4.1.2, RFC 6066 §3).
// Bytes come in, a [Hello] or an error goes out: it does no I/O, keeps nothing,
// and changes nothing, so that the bytes can go on to whoever holds the key.
//
// It refuses what no server would accept (a name twice, a length that lies),
// and whatever is longer than [MaxHello], so that a hostile client can hold no
// more than that. It trusts nothing that is said: with Encrypted Client Hello
// the name is the outer one. The engine calls it before it knows whose a
// connection is.
package sniff
