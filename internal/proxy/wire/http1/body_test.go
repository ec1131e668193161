package http1

import (
	"bytes"
	"errors"
	"io"
	"net/http/httputil"
	"strings"
	"testing"
)

// decode decodes src in pieces. It returns the data and the bytes that are left.
func decode(b *Body, src string, piece int) (data, rest string, err error) {
	out := []byte{}
	for len(src) > 0 && !b.Done() {
		part := []byte(src[:min(piece, len(src))])
		n, taken, err := b.Compact(part)
		out = append(out, part[:n]...)
		src = src[taken:]
		if err != nil {
			return string(out), src, err
		}
	}
	return string(out), src, nil
}

func TestChunked(t *testing.T) {
	for _, tc := range []struct {
		name, src, data, rest, trailer string
		want                           error
	}{
		{"plain", "5\r\nhello\r\n0\r\n\r\nNEXT", "hello", "NEXT", "", nil},
		{"two", "5\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\n", "hello0123456789", "", "", nil},
		{"leading zeros", "0005\r\nhello\r\n000\r\n\r\n", "hello", "", "", nil},
		{"extension", "5;a=\"b\"\r\nhello\r\n0;x\r\n\r\n", "hello", "", "", nil},
		{"space before extension", "5 ;a\r\nhello\r\n0\r\n\r\n", "hello", "", "", nil},
		{"trailer", "0\r\nA: b\r\nC: d\r\n\r\nNEXT", "", "NEXT", "A: b\r\nC: d\r\n", nil},
		{"framing in trailer", "0\r\nA: b\r\nContent-Length: 5\r\nX-Real-IP: 1\r\n\r\n", "", "", "A: b\r\n", nil},
		{"space after size", "5 \r\nhello\r\n0\r\n\r\n", "", "", "", ErrChunkSize},
		{"space before size", " 5\r\nhello\r\n0\r\n\r\n", "", "", "", ErrChunkSize},
		{"0x", "0x5\r\nhello\r\n0\r\n\r\n", "", "", "", ErrChunkSize},
		{"plus", "+5\r\nhello\r\n", "", "", "", ErrChunkSize},
		{"minus", "-5\r\nhello\r\n", "", "", "", ErrChunkSize},
		{"empty size", "\r\nhello\r\n", "", "", "", ErrChunkSize},
		{"overflow", "10000000000000005\r\nhello\r\n", "", "", "", ErrChunkSize},
		{"bare LF after size", "5\nhello\r\n", "", "", "", ErrChunkSize},
		{"bare CR after size", "5\rhello\r\n", "", "", "", ErrChunkSize},
		{"LF in extension", "5;a\nhello\r\n", "", "", "", ErrChunkExtension},
		{"data too long", "5\r\nhello!\r\n", "hello", "", "", ErrChunkEnd},
		{"data without CR", "5\r\nhello\n0\r\n\r\n", "hello", "", "", ErrChunkEnd},
		{"long extension", "5;" + strings.Repeat("a", maxChunkOverhead+1), "", "", "", ErrChunkExtension},
		{"long trailer", "0\r\nA: " + strings.Repeat("a", maxChunkOverhead), "", "", "", ErrTrailer},
		{"bad trailer", "0\r\nA b\r\n\r\n", "", "", "", ErrFieldName},
		{"bare LF in trailer", "0\r\nA: b\n\r\n", "", "", "", ErrBareLF},
		{"LF alone in trailer", "0\r\n\n", "", "", "", ErrBareLF},
	} {
		for _, piece := range []int{1, 2, 7, 1 << 20} {
			b := NewBody(Chunked, 0)
			data, rest, err := decode(&b, tc.src, piece)
			if !errors.Is(err, tc.want) || tc.want == nil && err != nil {
				t.Errorf("%s in pieces of %d: got %v, want %v", tc.name, piece, err, tc.want)
				continue
			}
			if tc.want == nil && (data != tc.data || rest != tc.rest || string(b.Trailer()) != tc.trailer || !b.Done()) {
				t.Errorf("%s in pieces of %d: %q rest %q trailer %q done %t", tc.name, piece, data, rest, b.Trailer(), b.Done())
			}
		}
	}
}

func TestLengthAndClose(t *testing.T) {
	b := NewBody(Length, 5)
	if data, rest, _ := decode(&b, "helloNEXT", 2); data != "hello" || rest != "NEXT" || !b.Done() {
		t.Errorf("%q %q", data, rest)
	}
	b = NewBody(Length, 5)
	if decode(&b, "hel", 3); b.EOF() || b.Remaining() != 2 {
		t.Error("a short body counts as complete")
	}
	b = NewBody(UntilClose, 0)
	if data, _, _ := decode(&b, "abc", 1); data != "abc" || b.Done() || !b.EOF() {
		t.Error("a body until close ends only with the connection")
	}
	if b = NewBody(NoBody, 0); !b.Done() {
		t.Error("no body is a complete body")
	}
}

func TestChunkWriting(t *testing.T) {
	out := append(AppendChunkHead(nil, 26), strings.Repeat("x", 26)...)
	out = AppendLastChunk(append(out, '\r', '\n'), []byte("A: b\r\n"))
	if want := "1a\r\n" + strings.Repeat("x", 26) + "\r\n0\r\nA: b\r\n\r\n"; string(out) != want {
		t.Errorf("%q", out)
	}
}

// FuzzChunked compares decoding in one piece with decoding in several, and with Go's
// decoder, which is laxer: it must accept what we accept, with the same data.
func FuzzChunked(f *testing.F) {
	f.Add([]byte("5\r\nhello\r\n0\r\n\r\n"), 3)
	f.Add([]byte("5;a=b\r\nhello\r\n0\r\nA: b\r\n\r\n"), 1)
	f.Add([]byte("00000000000000000005\r\nhello\r\n0\r\n\r\n"), 1)
	f.Fuzz(func(t *testing.T, src []byte, piece int) {
		whole := NewBody(Chunked, 0)
		data, rest, err := decode(&whole, string(src), 1<<20)
		parts := NewBody(Chunked, 0)
		data2, rest2, err2 := decode(&parts, string(src), max(1, piece))
		if (err == nil) != (err2 == nil) || err == nil && (data != data2 || rest != rest2) {
			t.Fatalf("at once %q %q %v, in pieces %q %q %v", data, rest, err, data2, rest2, err2)
		}
		if err != nil || !whole.Done() {
			return
		}
		want, err := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(src)))
		if err == nil && string(want) != data {
			t.Fatalf("got %q, Go reads %q", data, want)
		}
	})
}
