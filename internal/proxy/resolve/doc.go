// Package resolve asks for the addresses of a host name as a program on this
// machine would: /etc/hosts first, and then the servers, search domains and ndots
// of resolv.conf. Unlike the standard library it tells how long an answer holds.
// It is the one place that knows miekg/dns.
//
// Answers are bounded in addresses and aliases, and what was not asked for is not
// taken from them. It keeps nothing between two calls, so that files count as they
// are. Who may be reached at an address is not its business: proxy/upstream calls
// it, and decides that.
package resolve
