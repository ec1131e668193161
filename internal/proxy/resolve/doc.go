// Package resolve looks up the addresses of a host name as a program on this machine
// would: /etc/hosts first, and then the servers, search domains and ndots of
// resolv.conf. Unlike the standard library it returns the TTL of the answer. It is the
// only package that imports miekg/dns.
//
// Addresses and aliases are bounded, and records that were not asked for are ignored.
// Nothing is kept between two calls, so changes of the files take effect at once. The
// package does not decide which addresses may be reached: its caller, proxy/upstream,
// does.
package resolve
