package grpcweb

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
)

func TestTypes(t *testing.T) {
	tests := []struct{ value, accept, want, grpc string }{
		{"application/grpc-web", "", "application/grpc-web", "application/grpc"},
		{"application/grpc-web+proto", "*/*", "application/grpc-web+proto", "application/grpc+proto"},
		{"Application/GRPC-Web+json; charset=utf-8", "", "application/grpc-web+json", "application/grpc+json"},
		{"application/grpc-web-text", "", "application/grpc-web-text", "application/grpc"},
		{"application/grpc-web-text+proto", "application/grpc-web-text", "application/grpc-web-text+proto", "application/grpc+proto"},
		{"application/grpc-web-text-base64 ", "", "application/grpc-web-text", "application/grpc"},
		{"application/grpc-web+proto", "text/html, application/grpc-web-text;q=0.5", "application/grpc-web-text+proto", "application/grpc+proto"},
		{"application/grpc-web-text+proto", "application/grpc-web+proto", "application/grpc-web+proto", "application/grpc+proto"},
		{"application/grpc", "", "", ""},
		{"application/grpc+web", "", "", ""},
		{"application/grpc-webs", "", "", ""},
		{"application/grpc-web-text-base32", "", "", ""},
		{"", "", "", ""},
	}
	for _, tt := range tests {
		asked, ok := ParseType([]byte(tt.value))
		if ok != (tt.want != "") {
			t.Errorf("%q: %t", tt.value, ok)
		}
		if !ok {
			continue
		}
		if got := string(asked.Answer([]byte(tt.accept)).Append(nil)); got != tt.want {
			t.Errorf("%q accepting %q: answered with %s, want %s", tt.value, tt.accept, got, tt.want)
		}
		if got := string(asked.AppendGRPC(nil)); got != tt.grpc {
			t.Errorf("%q: %s, want %s", tt.value, got, tt.grpc)
		}
	}
}

// inPieces recodes data in pieces of a given size.
func inPieces(r interface {
	Recode(dst, data []byte, last bool, trailer []byte) ([]byte, error)
}, data []byte, size int, trailer string,
) (out []byte, err error) {
	for err == nil && len(data) > size {
		out, err = r.Recode(out, data[:size], false, nil)
		data = data[size:]
	}
	if err != nil {
		return nil, err
	}
	return r.Recode(out, data, true, []byte(trailer))
}

func TestDecode(t *testing.T) {
	tests := []struct {
		text, want string
		ok         bool
	}{
		{"", "", true},
		{"AAAAAAA=", "\x00\x00\x00\x00\x00", true},
		{"AAAAAAIIAQ==", "\x00\x00\x00\x00\x02\x08\x01", true},
		{"AA==AAAAAgg=AQ==", "\x00\x00\x00\x00\x02\x08\x01", true}, // padding in the middle
		{"Zm9vYmFy", "foobar", true},                               // RFC 4648 §10
		{"Zg", "", false},
		{"Zg=", "", false},
		{"Z===", "", false},
		{"=", "", false},
		{"Zg=x", "", false},
		{"Zm9v\r\n", "", false},
		{"Zm9\nYmFy", "", false},
		{"-_-_", "", false},
	}
	for _, tt := range tests {
		for size := 1; size <= len(tt.text)+1; size++ {
			got, err := inPieces(&Decoder{}, []byte(tt.text), size, "")
			if ok := err == nil; ok != tt.ok || ok && string(got) != tt.want || !ok && !errors.Is(err, ErrBase64) {
				t.Errorf("%q in pieces of %d: %q %v", tt.text, size, got, err)
			}
		}
	}
}

// message returns a message in a frame.
func message(flag byte, body string) string {
	return string(binary.BigEndian.AppendUint32([]byte{flag}, uint32(len(body)))) + body
}

const trailers = "grpc-status: 0\r\nGrpc-Message:\t ok \r\nx-bin: AAE\r\n"

// The trailers are the last frame. Their names are in lower case, and there is no empty
// line.
func TestEncode(t *testing.T) {
	body := message(0, "one") + message(0, "") + message(1, "three and more")
	want := body + message(0x80, "grpc-status: 0\r\ngrpc-message: ok\r\nx-bin: AAE\r\n")
	for size := 1; size <= len(body)+1; size++ {
		got, err := inPieces(&Encoder{}, []byte(body), size, trailers)
		if err != nil || string(got) != want {
			t.Fatalf("in pieces of %d: %q, %v", size, got, err)
		}
		text, err := inPieces(&Encoder{Text: true}, []byte(body), size, trailers)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := inPieces(&Decoder{}, text, 7, ""); err != nil || string(back) != want {
			t.Fatalf("text in pieces of %d: %q is %q, %v", size, text, back, err)
		}
	}
}

func TestEncodeWithoutTrailers(t *testing.T) {
	for _, text := range []bool{false, true} {
		got, err := inPieces(&Encoder{Text: text}, nil, 1, "")
		if err != nil || len(got) > 0 {
			t.Errorf("%q %v", got, err)
		}
	}
}

// A complete message is not delayed, and an incomplete one has no padding in it.
func TestTextIsWholeMessages(t *testing.T) {
	e := &Encoder{Text: true}
	var sent, text string
	for i := range 20 {
		one := message(0, strings.Repeat("x", i))
		for _, part := range []string{one[:3], one[3:5], one[5:]} {
			out, err := e.Recode(nil, []byte(part), false, nil)
			if err != nil {
				t.Fatal(err)
			}
			text += string(out)
			sent += part
			if inside := strings.TrimRight(text, "="); len(sent)%3 != 0 && len(text) != len(inside) && part == one[:3] {
				t.Errorf("padding within message %d: %q", i, text)
			}
		}
		if got, err := inPieces(&Decoder{}, []byte(text), 5, ""); err != nil || string(got) != sent {
			t.Fatalf("after message %d: %q, %v", i, got, err)
		}
	}
}

// FuzzDecode: the result does not depend on how the input is split.
func FuzzDecode(f *testing.F) {
	f.Add("AAAAAAIIAQ==AA==Zm9v\n", 3)
	f.Fuzz(func(t *testing.T, text string, size int) {
		size = max(size%64, 1)
		whole, errWhole := inPieces(&Decoder{}, []byte(text), len(text)+1, "")
		split, errSplit := inPieces(&Decoder{}, []byte(text), size, "")
		if (errWhole == nil) != (errSplit == nil) || errWhole == nil && !bytes.Equal(whole, split) {
			t.Fatalf("whole %q %v, in pieces of %d %q %v", whole, errWhole, size, split, errSplit)
		}
		if want, err := base64.StdEncoding.DecodeString(text); err == nil && !strings.ContainsAny(text, "\r\n") && !bytes.Equal(whole, want) {
			t.Fatalf("%q, want %q", whole, want)
		}
	})
}

// FuzzEncode: decoding the result returns the input, whatever the frames contain.
func FuzzEncode(f *testing.F) {
	f.Add([]byte(message(0, "one")+message(0, "two")), 4, trailers)
	f.Add([]byte("\x00\xff\xff\xff\xff"), 1, "no colon\r\n: \r\n")
	f.Fuzz(func(t *testing.T, body []byte, size int, trailer string) {
		size = max(size%64, 1)
		binary, err := inPieces(&Encoder{}, body, size, trailer)
		if err != nil || !bytes.HasPrefix(binary, body) {
			t.Fatalf("%q %v", binary, err)
		}
		text, err := inPieces(&Encoder{Text: true}, body, size, trailer)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := inPieces(&Decoder{}, text, 9, ""); err != nil || !bytes.Equal(back, binary) {
			t.Fatalf("%q came back as %q, %v", binary, back, err)
		}
	})
}
