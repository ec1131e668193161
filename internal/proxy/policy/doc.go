// Package policy decides which connections and requests are allowed: it compiles
// conditions and permissions, and evaluates them for a connection or a request.
//
// [Inbound] is all that is known of a connection before a byte of it is forwarded. A
// pure function makes it from [Facts], which a listener gathers: addresses, a PROXY
// protocol header, the server name in a ClientHello, the result of a handshake.
// [Request] is what is known of a request, with the Inbound of its connection. A
// [Condition] is a compiled model.Predicate; rules match by conditions, and the
// permissions of an [Access] have them.
//
// The result is a [Verdict], which names the policy that denied. A swap evaluates
// everything that is open again: connections ([Listener.Admit]), tunnels and
// connections of L4 routes (exchange.Generation). What cannot be evaluated fails
// closed: a permission with a test that this engine does not know denies whatever it
// might deny, and allows only what it allows for any result of that test ([Known]).
//
// Nothing here does I/O, holds state or allocates while it evaluates.
package policy
