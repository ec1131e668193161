// Package policy says who may come in: it compiles conditions and permissions, and
// evaluates them over what is known of a connection and of a request.
//
// [Inbound] is all that is known of a connection before a byte of it goes on. It is made
// by a pure function of [Facts], which a listener gathers: addresses, a PROXY header, the
// name in a ClientHello, what a handshake showed. [Request] is what is known of a
// request, with the Inbound that it came by. A [Condition] is a compiled
// model.Predicate; rules match by conditions, and an [Access] permits by them.
//
// The answer is a [Verdict], which names the policy that denied. A swap asks for all that
// is open once more: connections ([Listener.Admit]), tunnels and relayed connections
// (exchange.Generation). What cannot be told closes: a test that this engine does not
// know denies wherever it might deny, and allows only where it must allow ([Known]).
//
// Nothing here does I/O, holds state or allocates while it evaluates.
package policy
