// Package proxy is the engine: it listens, serves connections, and swaps what
// it serves without dropping any.
//
// [New] makes a [Proxy], [Proxy.Run] serves, [Proxy.Apply] compiles a Snapshot
// aside and swaps one pointer. One goroutine serves a client's connection; it
// reads a request, has package exchange decide, and moves the bytes. A second
// one runs only while a request body is still coming. An exchange takes the
// Generation once and keeps it to its end; the garbage collector frees a
// Generation that no exchange holds any more.
//
// A Proxy holds no process globals: many can live in one process. It links no
// Kubernetes code.
package proxy
