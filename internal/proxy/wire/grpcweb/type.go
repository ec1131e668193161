package grpcweb

import (
	"bytes"

	"windrose.dev/windrose/internal/proxy/msg"
)

// Type is a content type of gRPC-Web. It is a view.
type Type struct {
	Text bool
	// Format is how messages are written, with its sign: +proto. It may be empty.
	Format []byte
}

const (
	grpcType   = "application/grpc"
	binaryType = "application/grpc-web"
	textType   = "application/grpc-web-text"
	base64Type = "application/grpc-web-text-base64" // the same: there is no other text
)

// ParseType reads a content type; ok is false for those that are not of gRPC-Web.
func ParseType(value []byte) (t Type, ok bool) {
	value, _, _ = bytes.Cut(value, []byte{';'})
	value = msg.TrimOWS(value)
	name := value
	if i := bytes.IndexByte(value, '+'); i >= 0 {
		name, t.Format = value[:i], value[i:]
	}
	t.Text = msg.EqualFold(name, textType) || msg.EqualFold(name, base64Type)
	return t, t.Text || msg.EqualFold(name, binaryType)
}

// Answer is the type of the answer to a request of type t: what the client
// accepts, and the same variant where it does not say.
func (t Type) Answer(accept []byte) Type {
	for len(accept) > 0 {
		var one []byte
		one, accept = msg.NextToken(accept)
		if wanted, ok := ParseType(one); ok {
			t.Text = wanted.Text
			break
		}
	}
	return t
}

// Append writes the content type.
func (t Type) Append(dst []byte) []byte {
	name := binaryType
	if t.Text {
		name = textType
	}
	return append(append(dst, name...), t.Format...)
}

// AppendGRPC writes the content type that gRPC has for the same messages.
func (t Type) AppendGRPC(dst []byte) []byte {
	return append(append(dst, grpcType...), t.Format...)
}
