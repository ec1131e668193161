// Package mux runs HTTP/2 connections, as client and as server: a socket, the codec
// that reads and writes it, and its streams.
//
// One mutex per connection guards the codec. One goroutine reads the socket and passes
// the bytes to the codec. It never waits for a stream: bodies are buffered in their
// streams, bounded by the flow control windows. Streams append frames to the
// connection's output under the mutex. While there is output, a flush goroutine writes
// it to the socket, the frames of many streams in one write.
//
// A Stream looks like a connection to its exchange: it has deadlines, can be
// interrupted, and reports when the peer is gone.
package mux
