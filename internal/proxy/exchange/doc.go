// Package exchange is one request and its response as pure steps: no socket is
// touched here.
//
// [Compile] turns a Snapshot into a [Generation]. [Exchange.Decide] is the one
// place where a request's fate is computed: it finds the rule and runs the
// filters, and leaves either an answer or a request that is ready to be
// forwarded. [Exchange.OnResponse] prepares what came back for the client.
// The I/O loop that drives the steps is in the package proxy.
//
// An Exchange is reused. Everything it points to in the buffers of the
// connection dies with it.
package exchange
