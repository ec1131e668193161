// Package sock is where the proxy touches sockets: [Conn], a connection that
// takes a buffer only while it has bytes, arms its deadlines lazily, and can be
// told that its peer has hung up while nobody reads from it.
//
// It exists to isolate what the operating system offers: one write and one
// read per message where possible, no timer per request, no goroutine that
// only watches, and a listener that closes without losing whom the system has
// connected already ([CloseListener]). A TLS session over TCP waits without a
// buffer too. Other connections, such as in-memory pipes in tests, work the
// same by the portable path. It knows nothing of HTTP.
package sock
