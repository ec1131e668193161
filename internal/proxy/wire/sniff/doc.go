// Package sniff reads the server name that a TLS client sends unencrypted in its
// ClientHello (RFC 8446 §4.1.2, RFC 6066 §3).
//
// It parses bytes to a [Hello] or an error. It does no I/O, keeps nothing and changes
// nothing, so that the bytes can be passed on to whoever terminates TLS.
//
// It rejects what no server would accept (a name twice, a wrong length), and anything
// longer than [MaxHello], which bounds the memory that a hostile client can use. The
// name is not verified: with Encrypted Client Hello it is the outer name. The engine
// calls this package before it knows where a connection is routed.
package sniff
