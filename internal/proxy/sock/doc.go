// Package sock wraps sockets: [Conn] is a connection that holds a buffer only while it
// has bytes, sets its deadlines lazily, and reports that its peer has hung up even when
// nobody reads from it.
//
// The package isolates what depends on the operating system: one write and one read per
// message where possible, no timer per request, no goroutine that only watches, and
// closing a listener without losing the connections in its backlog ([CloseListener]). A
// TLS session over TCP holds no buffer while it waits either. Other connections, such
// as in-memory pipes in tests, work the same by a portable path. The package knows
// nothing of HTTP.
package sock
