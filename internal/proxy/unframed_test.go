package proxy_test

import (
	"bytes"
	"crypto/tls"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// TestBodyWithoutLengthIsNoRequest: HTTP/2 needs no Content-Length (RFC 9113
// §8.1.1), and HTTP/1 must be told where a body ends (RFC 9112 §6.3): otherwise
// the client's bytes are the next request on the backend's connection.
func TestBodyWithoutLengthIsNoRequest(t *testing.T) {
	smuggled := "GET /smuggled HTTP/1.1\r\nHost: b\r\n\r\n"
	requests := make(chan string, 8)
	b := newBackend(t, func(p *peer) {
		for m := p.message(); m != ""; m = p.message() {
			requests <- m
			p.send(ok2)
		}
	})
	r := newRig(t, nil)
	r.applySnapshot(tlsRule(t, b.addr, map[string]keyPair{"*": newKeyPair(t, "x")}))
	_, conn, err := r.shake(&tls.Config{NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	// Head and body come in one record, so that the body is there with the head.
	var out, block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, f := range [][2]string{{":method", "POST"}, {":scheme", "https"}, {":authority", "a.example"}, {":path", "/"}} {
		encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	out.WriteString(http2.ClientPreface)
	framer := http2.NewFramer(&out, conn)
	framer.WriteSettings()
	framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true})
	framer.WriteData(1, true, []byte(smuggled))
	conn.Write(out.Bytes())
	if got := <-requests; !strings.HasSuffix(got, "\r\n\r\n"+smuggled) || fieldOf(got, "Content-Length") != numberText(len(smuggled)) {
		t.Errorf("the backend got %q", got)
	}
	r.ask("GET /next HTTP/1.1\r\nHost: a.example\r\n\r\n")
	if got := <-requests; !strings.HasPrefix(got, "GET /next ") {
		t.Errorf("and then %q", got)
	}
}
