package grpcweb

import (
	"bytes"

	"windrose.dev/windrose/internal/proxy/msg"
)

// Type is a gRPC-Web content type. It is a view of the value that it was parsed from.
type Type struct {
	Text bool
	// Format is the message format with its plus sign, such as +proto. It may be empty.
	Format []byte
}

const (
	grpcType   = "application/grpc"
	binaryType = "application/grpc-web"
	textType   = "application/grpc-web-text"
	base64Type = "application/grpc-web-text-base64" // the same: the only text variant
)

// ParseType parses a content type; ok is false if it is not gRPC-Web.
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

// Answer returns the content type of the response to a request of type t: the variant
// that the client accepts, or that of the request if accept names none.
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

// Append appends the content type.
func (t Type) Append(dst []byte) []byte {
	name := binaryType
	if t.Text {
		name = textType
	}
	return append(append(dst, name...), t.Format...)
}

// AppendGRPC appends the gRPC content type for the same messages.
func (t Type) AppendGRPC(dst []byte) []byte {
	return append(append(dst, grpcType...), t.Format...)
}
