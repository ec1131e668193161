// Package engine has what the packages of one proxy share (frontend, httpx, l4): its
// limits, clock, counters and log, the account of its buffers, the goroutines that
// serve, and whether it drains.
//
// An [Engine] knows nothing of listeners, connections or requests. A [Shard] is the
// part of it that connections on different cores need not share; each connection gets a
// shard when it is accepted.
package engine
