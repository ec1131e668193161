// Package proxyproto reads and writes the header with which one proxy tells the
// next whose connection it passes on: the PROXY protocol, version 1 (a line of
// text) and version 2 (binary), as haproxy's proxy-protocol.txt has them. Bytes
// come in, a [Header] or an error goes out: it does no I/O, keeps nothing of
// the bytes, and reads none of those behind the header.
//
// It refuses what the specification has receivers refuse (addresses of another
// family than is announced, leading zeros, unknown commands, a checksum that is
// not right), and headers of more than [MaxHeader] bytes. Whether whoever sends
// a header may be believed is the caller's to know: anybody can write one. The
// engine reads them from peers that its configuration names, and writes them to
// backends that ask for them.
package proxyproto
