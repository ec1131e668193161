// Package proxyproto reads and writes PROXY protocol headers, with which one proxy
// tells the next the client's addresses: version 1 (a line of text) and version 2
// (binary), as specified in haproxy's proxy-protocol.txt. It parses bytes to a [Header]
// or an error. It does no I/O, keeps no reference to the bytes, and reads none of those
// after the header.
//
// It rejects what the specification requires receivers to reject (addresses of another
// family than announced, leading zeros, unknown commands, a wrong checksum), and
// headers of more than [MaxHeader] bytes. Anybody can write a header, so the caller
// must decide whether to believe the sender. The engine reads headers from the peers
// that its configuration names, and sends them to backends that are configured for
// them.
package proxyproto
