// Package frontend lets clients in: listeners, their connections, TLS and the
// certificates of clients, PROXY headers, and the limits on all of these.
//
// A [Server] finds out all that is to be known of a connection before a byte of it is
// passed on: who the client is, by its address, its PROXY header and its certificate;
// what it asks for, by its ClientHello; and what it speaks. Then the connection goes to
// layer 4, or its requests to package httpx. What its listener asked of the client is
// noted, so that a swap which asks for something else has it leave.
//
// A [Listener] is a port of TCP, [QUIC] the port of UDP beside it where HTTP/3 is
// spoken. [Compiled] is what a Generation has for all of them; the root of the engine
// swaps it together with the routes.
package frontend
