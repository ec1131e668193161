package http3

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/quic-go/qpack"

	"windrose.dev/windrose/internal/proxy/msg"
)

var testLimits = msg.Limits{HeadBytes: 4096, TargetBytes: 100, Fields: 20}

// encoded returns a HEADERS frame with fields that quic-go's encoder has encoded.
func encoded(pairs ...string) []byte {
	var b strings.Builder
	encoder := qpack.NewEncoder(&b)
	for i := 0; i < len(pairs); i += 2 {
		encoder.WriteField(qpack.HeaderField{Name: pairs[i], Value: pairs[i+1]})
	}
	return append(appendFrameHead(nil, headersFrame, uint64(b.Len())), b.String()...)
}

func post(more ...string) []byte {
	return encoded(append([]string{":method", "POST", ":scheme", "https", ":authority", "a.example", ":path", "/p?q"}, more...)...)
}

func data(text string) []byte { return AppendData(nil, []byte(text)) }

// read passes a stream to a Reader in pieces of a given size, and returns the result as
// text.
func read(r *Reader, stream []byte, size int) string {
	r.Reset(testLimits)
	var in, body []byte
	headed := false
	take := func(ended bool) error {
		if !headed {
			used, done, err := r.ReadHead(in)
			in, headed = in[used:], done
			if err != nil || r.Fault != nil || !done {
				return err
			}
		}
		n, used, err := r.Body(in)
		body = append(body, in[:n]...)
		in = append([]byte(nil), in[used:]...)
		return err
	}
	for len(stream) > 0 {
		n := min(size, len(stream))
		in, stream = append(in, stream[:n]...), stream[n:]
		if err := take(false); err != nil {
			return told(err)
		}
		if r.Fault != nil {
			return "fault: " + r.Fault.Text
		}
	}
	if err := r.End(len(in)); err != nil {
		return told(err)
	}
	return fmt.Sprintf("%s%s|%s|%s|%d", r.Head.Bytes(r.Head.Method), r.Head.Bytes(r.Head.Target), body, r.Trailer, r.Length)
}

func told(err error) string {
	var stream *StreamError
	var conn *ConnError
	switch {
	case errors.As(err, &stream):
		return fmt.Sprintf("stream %#x", uint64(stream.Code))
	case errors.As(err, &conn):
		return fmt.Sprintf("conn %#x", uint64(conn.Code))
	}
	return err.Error()
}

func join(parts ...[]byte) (out []byte) {
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// TestReader: the result does not depend on how the stream is split.
func TestReader(t *testing.T) {
	grease := append(appendFrameHead(nil, 0x21, 6), "grease"...)
	tests := []struct {
		name   string
		stream []byte
		want   string
	}{
		{"a head", post(), "POST/p?q|||-1"},
		{"a body", join(post(), data("hello"), data(" world")), "POST/p?q|hello world||-1"},
		{"a length", join(post("content-length", "5"), data("hel"), data("lo")), "POST/p?q|hello||5"},
		{"trailers", join(post(), data("a"), encoded("x-sum", "1", "content-length", "9", "x-b", "")), "POST/p?q|a|x-sum: 1\r\nx-b: \r\n|-1"},
		{"unknown frames", join(grease, post(), grease, data("a"), grease, data("b"), encoded("x", "1"), grease), "POST/p?q|ab|x: 1\r\n|-1"},
		{"frames without anything", join(post(), []byte{0, 0, 0x21, 0}, data("a"), []byte{0, 0}), "POST/p?q|a||-1"},
		{"nothing", nil, "stream 0x10d"},
		{"a cut head", post()[:9], "conn 0x106"},
		{"a cut body", join(post(), data("hello")[:4]), "conn 0x106"},
		{"a cut frame head", join(post(), []byte{0x40}), "conn 0x106"},
		{"too little", join(post("content-length", "5"), data("hell")), "stream 0x10e"},
		{"too much", join(post("content-length", "5"), data("hello!")), "stream 0x10e"},
		{"a long head", post("x-long", strings.Repeat("<", 4096)), "fault: " + msg.ErrHeadTooLong.Text},
		{"a head that grows", post("x-long", strings.Repeat("a", 4096)), "fault: " + msg.ErrHeadTooLong.Text},
		{"many fields", post(strings.Split(strings.Repeat("a b ", 20), " ")[:40]...), "fault: " + msg.ErrTooManyFields.Text},
		{"a long target", encoded(":method", "GET", ":scheme", "https", ":authority", "a", ":path", "/"+strings.Repeat("x", 100)), "fault: " + msg.ErrTargetTooLong.Text},
		{"long trailers", join(post(), encoded("x", strings.Repeat("a", 4096))), "stream 0x107"},
		{"pseudo-fields in trailers", join(post(), encoded(":path", "/")), "stream 0x10e"},
		{"a frame of the control stream", join(post(), []byte{settingsFrame, 0}), "conn 0x105"},
	}
	var r Reader
	for _, tt := range tests {
		for _, size := range []int{1, 2, 3, 7, 100, 1 << 20} {
			if got := read(&r, tt.stream, size); got != tt.want {
				t.Errorf("%s in pieces of %d: %q, want %q", tt.name, size, got, tt.want)
			}
		}
	}
}

// TestWriterAndDecoder: quic-go's decoder reads what we write.
func TestWriterAndDecoder(t *testing.T) {
	var h msg.Head
	want := []qpack.HeaderField{{Name: ":status", Value: "200"}}
	for _, entry := range static {
		if entry.name[0] == ':' {
			continue
		}
		for _, value := range []string{entry.value, "other", strings.Repeat("v", 200)} {
			h.Add(msg.OtherField, strings.ToUpper(entry.name), []byte(value))
			want = append(want, qpack.HeaderField{Name: entry.name, Value: value})
		}
	}
	for _, name := range []string{"x", "x-of-ours", strings.Repeat("x", 40)} {
		h.Add(msg.OtherField, name, []byte("1"))
		want = append(want, qpack.HeaderField{Name: name, Value: "1"})
	}
	h.Add(msg.Connection, "Connection", []byte("close"))
	h.Status = 200
	out := AppendAnswer([]byte("before"), &h)
	if got := decoded(t, out[len("before"):]); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	for status := 100; status < 600; status++ {
		if got := decoded(t, AppendAnswer(nil, &msg.Head{Status: status})); len(got) != 1 || got[0].Value != fmt.Sprint(status) {
			t.Errorf("%d: %v", status, got)
		}
	}
	if got := decoded(t, AppendTrailer(nil, []byte("Grpc-Status: 0\r\nx: \r\n"))); fmt.Sprint(got) != `[header field "grpc-status" = "0" header field "x" = ""]` && len(got) != 2 {
		t.Error(got)
	}
}

func decoded(t *testing.T, frame []byte) (out []qpack.HeaderField) {
	t.Helper()
	kind, length, n := frameHead(frame)
	if kind != headersFrame || int(length) != len(frame)-n {
		t.Fatalf("frame %d of %d bytes, and %d came", kind, length, len(frame)-n)
	}
	for next := qpack.NewDecoder().Decode(frame[n:]); ; {
		f, err := next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, f)
	}
}

// TestVarint: the examples of RFC 9000 appendix A.1.
func TestVarint(t *testing.T) {
	for text, want := range map[string]uint64{
		"\xc2\x19\x7c\x5e\xff\x14\xe8\x8c": 151288809941952652, "\x9d\x7f\x3e\x7d": 494878333, "\x7b\xbd": 15293, "\x25": 37,
	} {
		if v, n := Varint([]byte(text + "x")); v != want || n != len(text) {
			t.Errorf("%x: %d in %d bytes", text, v, n)
		}
		if got := appendVarint(nil, want); string(got) != text {
			t.Errorf("%d: %x", want, got)
		}
		if _, n := Varint([]byte(text)[:len(text)-1]); n != 0 {
			t.Errorf("%x: read from a part of it", text)
		}
	}
	if v, n := Varint([]byte{0x40, 0x25}); v != 37 || n != 2 {
		t.Error(v, n)
	}
}

// TestControl reads a control stream in pieces.
func TestControl(t *testing.T) {
	settings := []byte{settingsFrame, 2, 6, 1}
	for name, tt := range map[string]struct {
		stream []byte
		want   string
	}{
		"SETTINGS":      {settings, ""},
		"GOAWAY":        {join(settings, []byte{goAwayFrame, 1, 0}), ""},
		"unknown":       {join(settings, []byte{0x21, 3, 1, 2, 3}, []byte{maxPushIDFrame, 1, 0}), ""},
		"long SETTINGS": {[]byte{settingsFrame, 0x80, 0x10, 0, 0}, "conn 0x107"},
		"a bad GOAWAY":  {join(settings, []byte{goAwayFrame, 2, 0, 0}), "conn 0x106"},
		"another first": {[]byte{0x21, 0}, "conn 0x10a"},
	} {
		for _, size := range []int{1, 2, 100} {
			var c Control
			var in []byte
			got := ""
			for rest := tt.stream; len(rest) > 0 && got == ""; {
				n := min(size, len(rest))
				in, rest = append(in, rest[:n]...), rest[n:]
				used, err := c.Read(in)
				if in = append([]byte(nil), in[used:]...); err != nil {
					got = told(err)
				}
			}
			if got != tt.want {
				t.Errorf("%s in pieces of %d: %q, want %q", name, size, got, tt.want)
			}
		}
	}
}
