// Package call sends requests and counts how they ended: the engine behind the
// call command.
//
// It speaks HTTP/1.1 over connections of its own, with net/http's message
// reader and writer but without its Transport: that one sends a request again,
// unseen, when a kept connection turns out to be dead. Here each request is
// sent once, and whatever keeps it from a whole answer is an error with a name.
// So a count of lost requests is the true one.
//
// Redirects are not followed, proxies from the environment are not used, and
// of each answer 1 MiB is kept; the rest is read, for the connection's sake,
// and dropped. Names under localhost are 127.0.0.1 (RFC 6761 section 6.3).
package call
