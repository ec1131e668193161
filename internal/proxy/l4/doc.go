// Package l4 carries bytes with no requests in them: connections of TCP and TLS that
// a route of layer 4 takes, flows of UDP, and the tunnels that requests of HTTP
// become (WebSocket).
//
// There is one [Pipe] for all of them that are streams of bytes. Its ends are
// connections, or streams of connections of HTTP/2. It has two goroutines, one a
// direction; between two TCP sockets bytes that come in masses stay in the kernel.
// UDP has a socket and a goroutine a flow.
//
// Everything about a connection is known before its first byte moves: whoever
// accepted it has read what tells its route. Nothing here pins a Generation; a swap
// asks for each that is open whether it may go on ([Server.Reconsider]).
package l4
