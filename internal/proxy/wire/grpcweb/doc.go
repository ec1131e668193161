// Package grpcweb is a codec for gRPC-Web (grpc/doc/PROTOCOL-WEB.md), which browsers
// use because they cannot use gRPC: messages are framed as in gRPC, the trailers are
// the last frame of the response body, and the text variant is base64 of all that.
//
// It does no I/O: it recodes bytes, however they are split. [Decoder] converts a
// request body to gRPC, and [Encoder] a response body to gRPC-Web. Both are Recoders of
// proxy/exchange.
package grpcweb
