// Package mux runs HTTP/2 connections, on either side: a socket, the codec that
// reads and writes it, and the streams over it.
//
// One mutex a connection guards its codec. One goroutine reads: it hands what
// came to the codec, and never waits for a stream; bodies wait in their streams,
// bounded by the windows. Streams write frames into the connection's output
// under the mutex, and a goroutine that runs while there is some writes it to
// the socket, what many streams have written at once.
//
// A Stream looks like a connection to its exchange: it has deadlines, it can be
// interrupted, and it tells when the other side is gone.
package mux
