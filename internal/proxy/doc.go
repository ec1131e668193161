// Package proxy is the engine's root: it puts the rooms together, applies Snapshots,
// and drains.
//
// [New] makes a [Proxy], [Proxy.Run] serves, [Proxy.Apply] compiles a Snapshot aside and
// swaps one pointer. The rooms are frontend (listeners, connections, TLS), httpx (one
// exchange of HTTP) and l4 (TCP, UDP, tunnels); package engine has what they share. A
// connection goes down through them and never up: frontend calls httpx and l4, httpx
// calls l4, and none of them calls the root.
//
// Apply has one list of sockets, be they of TCP, UDP or QUIC: what a Snapshot asks for
// is opened before the swap and served behind it, and what it does not is closed then.
// An exchange takes the Generation once and keeps it to its end; the garbage collector
// frees a Generation that no exchange holds any more.
//
// A Proxy holds no process globals: many can live in one process. It links no
// Kubernetes code.
package proxy
