// Package grpcweb is the codec of gRPC-Web (grpc/doc/PROTOCOL-WEB.md), which
// browsers speak where they cannot speak gRPC: messages are framed as in gRPC,
// trailers are the last frame of the answer, and the text variant is all of that
// in base64.
//
// It does no I/O: bytes in, bytes out, wherever they were split. [Decoder] makes
// gRPC of a request's body, and [Encoder] gRPC-Web of an answer's. Both are
// Recoders of proxy/exchange.
package grpcweb
