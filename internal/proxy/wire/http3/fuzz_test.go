package http3

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"golang.org/x/net/http2/hpack"

	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/wire/http2"
)

// FuzzReader: for any input, the Reader does not panic or read beyond it, and the
// result does not depend on how the input is split.
func FuzzReader(f *testing.F) {
	f.Add(join(post("content-length", "5"), data("hello"), encoded("x", "1")))
	f.Add(join([]byte{0x21, 2, 1, 2}, post(), data("a")))
	f.Add([]byte{1, 2, 0, 0})
	f.Fuzz(func(t *testing.T, stream []byte) {
		var a, b Reader
		whole, parts := read(&a, bytes.Clone(stream), 1<<20), read(&b, bytes.Clone(stream), 1)
		// An error that ends the stream may be found before one that is only found at
		// its end.
		if whole != parts && !strings.HasPrefix(whole, "stream") && !strings.HasPrefix(whole, "conn") {
			t.Errorf("as a whole %q, in pieces %q", whole, parts)
		}
	})
}

// FuzzControl: for any input, the readers of unidirectional streams do not panic, and
// do not use more than the input.
func FuzzControl(f *testing.F) {
	f.Add([]byte{settingsFrame, 2, 6, 1, goAwayFrame, 1, 0})
	f.Fuzz(func(t *testing.T, stream []byte) {
		var c Control
		if used, _ := c.Read(stream); used > len(stream) {
			t.Errorf("used %d of %d", used, len(stream))
		}
		ReadEncoder(stream)
		new(Decoder).Read(stream)
	})
}

// handler records how package http2 reads one request.
type handler struct {
	s       http2.Stream
	head    string
	refused bool
}

func (h *handler) Full() bool { return false }

func (h *handler) Open() *http2.Stream                          { return &h.s }
func (h *handler) Head(s *http2.Stream)                         { h.head = headText(&s.Head, s.Fault, s.Length) }
func (h *handler) Data(*http2.Stream, []byte)                   {}
func (h *handler) End(*http2.Stream)                            {}
func (h *handler) Reset(*http2.Stream, http2.ErrorCode, string) {}
func (h *handler) Refused(*http2.Stream, string)                { h.refused = true }
func (h *handler) Denied()                                      {}
func (h *handler) Window(*http2.Stream)                         {}
func (h *handler) Settled()                                     {}
func (h *handler) Leaving(last uint32, code http2.ErrorCode)    {}

func headText(h *msg.Head, fault *msg.Error, length int64) string {
	if fault != nil {
		return "fault " + fault.Text
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %d known %x\n", h.Bytes(h.Method), h.Bytes(h.Target), length, h.Known)
	for i := range h.Fields {
		if f := &h.Fields[i]; !f.Dropped {
			fmt.Fprintf(&b, "%d %s: %s\n", f.ID, h.Name(f), h.Value(f))
		}
	}
	return b.String()
}

// overHTTP2 returns how package http2 reads a request with these fields.
func overHTTP2(pairs []string) string {
	h := &handler{}
	c := http2.NewConn(http2.Config{
		Server: true, Limits: testLimits, MaxStreams: 10, StreamWindow: 1 << 16, MaxStreamWindow: 1 << 16, ConnWindow: 1 << 20, MaxOut: 1 << 15,
	}, h, 1)
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for i := 0; i < len(pairs); i += 2 {
		encoder.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]})
	}
	input := http2.Preface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	input += string([]byte{byte(block.Len() >> 16), byte(block.Len() >> 8), byte(block.Len()), 1, 4, 0, 0, 0, 1}) + block.String()
	c.Read([]byte(input), 2)
	if h.refused {
		return "malformed"
	}
	return h.head
}

func overHTTP3(pairs []string) string {
	var r Reader
	r.Reset(testLimits)
	if _, _, err := r.ReadHead(encoded(pairs...)); err != nil {
		return "malformed"
	}
	return headText(&r.Head, r.Fault, r.Length)
}

// TestAsHTTP2: HTTP/2 and HTTP/3 check heads by the same rules, and return them in the
// same form. HTTP/3 also requires an authority (RFC 9114 §4.3.1), and does not support
// extended CONNECT.
func TestAsHTTP2(t *testing.T) {
	names := []string{
		":method", ":scheme", ":authority", ":path", ":status", ":x", "host", "cookie", "content-length", "te", "connection",
		"x-a", "X-A", "x a", "", "upgrade", "transfer-encoding", "x_forwarded_for", "x-forwarded-for", "x-windrose-a",
	}
	values := []string{"GET", "POST", "CONNECT", "OPTIONS", "https", "http", "a.example", "A.example", "/", "/a b", "*", "", " x", "x ", "1", "01", "+1", "trailers", "a\r\nb", "a\x00", "é"}
	usual := []string{":method", "GET", ":scheme", "https", ":authority", "a.example", ":path", "/"}
	random := rand.New(rand.NewPCG(1, 2))
	for range 50_000 {
		pairs := append([]string(nil), usual...)
		for range random.IntN(4) {
			name, value := names[random.IntN(len(names))], values[random.IntN(len(values))]
			switch at := 2 * random.IntN(len(pairs)/2); random.IntN(3) {
			case 0:
				pairs = append(pairs, name, value)
			case 1:
				pairs[at+1] = value
			default:
				pairs = append(pairs[:at], pairs[at+2:]...)
				if len(pairs) == 0 {
					pairs = append(pairs, name, value)
				}
			}
		}
		two, three := overHTTP2(pairs), overHTTP3(pairs)
		if two != three && !lacksAuthority(pairs) {
			t.Fatalf("%q\nHTTP/2: %s\nHTTP/3: %s", pairs, two, three)
		}
	}
}

func lacksAuthority(pairs []string) bool {
	for i := 0; i < len(pairs); i += 2 {
		if (pairs[i] == ":authority" || pairs[i] == "host") && pairs[i+1] != "" {
			return false
		}
	}
	return true
}
