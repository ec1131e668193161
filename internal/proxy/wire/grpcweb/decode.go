package grpcweb

import (
	"bytes"
	"encoding/base64"

	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/reason"
)

// ErrBase64 is the error of a text-variant body that is not base64.
var ErrBase64 = &msg.Error{Outcome: reason.BadRequest, Text: "the body is not base64"}

// Decoder decodes a request body of the text variant: base64 (RFC 4648 §4), as one or
// several strings that each may end with padding. The zero value is ready.
type Decoder struct {
	group [4]byte // an incomplete group
	n     int
}

// Recode appends the decoded data.
func (d *Decoder) Recode(dst, data []byte, last bool, _ []byte) ([]byte, error) {
	for len(data) > 0 {
		var err error
		if dst, data, err = d.step(dst, data); err != nil {
			return dst, err
		}
	}
	if last && d.n > 0 {
		return dst, ErrBase64
	}
	return dst, nil
}

// step decodes the incomplete group if there is one, or otherwise as many complete
// groups as there are before the next padding.
func (d *Decoder) step(dst, data []byte) (out, rest []byte, err error) {
	if run := wholeGroups(data); d.n == 0 && run > 0 {
		dst, err = decode(dst, data[:run])
		return dst, data[run:], err
	}
	taken := copy(d.group[d.n:], data)
	if d.n += taken; d.n == len(d.group) {
		d.n = 0
		dst, err = decode(dst, d.group[:])
	}
	return dst, data[taken:], err
}

// wholeGroups returns the length of the groups at the front that have no padding.
func wholeGroups(data []byte) int {
	if i := bytes.IndexByte(data, '='); i >= 0 {
		data = data[:i]
	}
	return len(data) / 4 * 4
}

func decode(dst, groups []byte) ([]byte, error) {
	if bytes.ContainsAny(groups, "\r\n") { // encoding/base64 would skip them
		return dst, ErrBase64
	}
	dst, err := base64.StdEncoding.AppendDecode(dst, groups)
	if err != nil {
		return dst, ErrBase64
	}
	return dst, nil
}

// TakesTrailer returns false: a gRPC-Web request has no trailers.
func (d *Decoder) TakesTrailer() bool { return false }

// Close does nothing: a Decoder holds no resources.
func (d *Decoder) Close() {}
