package proxy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"time"

	quichttp3 "github.com/quic-go/quic-go/http3"

	"windrose.dev/windrose/internal/proxy/settings"
)

// TestHTTP3Requests: what a backend is asked when a client asks over HTTP/3.
func TestHTTP3Requests(t *testing.T) {
	r, _ := serve3(t, echo)
	c := r.client3(nil)
	tests := []struct {
		name, method, path string
		body               io.Reader
		want               string
	}{
		{"without a body", "GET", "/a?b=c", nil, "GET /a?b=c HTTP/1.1, 0 bytes"},
		{"of no method of ours", "PURGE", "/%2e%2f", nil, "PURGE /%2e%2f HTTP/1.1, 0 bytes"},
		{"with a body", "POST", "/p", strings.NewReader("hello"), "POST /p HTTP/1.1, 5 bytes"},
		{"with an empty body", "PUT", "/p", http.NoBody, "PUT /p HTTP/1.1, 0 bytes"},
		{"with a large body", "POST", "/p", bytes.NewReader(make([]byte, 300_000)), "POST /p HTTP/1.1, 300000 bytes"},
	}
	for _, tt := range tests {
		status, body, answer := c.do(c.request(tt.method, tt.path, tt.body))
		if got := sent(body); status != 200 || got != tt.want {
			t.Errorf("%s: %d %q, want %q", tt.name, status, got, tt.want)
		}
		if answer.Proto != "HTTP/3.0" || answer.ContentLength != int64(len(body)) {
			t.Errorf("%s: %s of %d bytes, and %d came", tt.name, answer.Proto, answer.ContentLength, len(body))
		}
	}
}

// TestHTTP3Fields: fields come to the backend as they do over HTTP/2: one Host,
// one Cookie, identity from us alone, nothing that concerns a connection.
func TestHTTP3Fields(t *testing.T) {
	r, _ := serve3(t, echo)
	s := r.raw().ask(true, getFields("host", "a.example", "cookie", "a=1", "x-forwarded-for", "6.6.6.6", "te", "trailers", "cookie", "b=2", "x-a", "1", "x-a", "2"))
	answer, err := io.ReadAll(s)
	if err != nil {
		t.Fatal(err)
	}
	got := string(answer[bytes.Index(answer, []byte("GET /")):])
	want := "GET / HTTP/1.1\r\nhost: a.example\r\nx-a: 1\r\nx-a: 2\r\ncookie: a=1; b=2\r\n"
	if plain(got) != want+"Connection: TE\r\nTE: trailers\r\n\r\n" {
		t.Errorf("%q", plain(got))
	}
	for name, want := range map[string]string{"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "https", "X-Forwarded-Port": r.addr(443)[len("127.0.0.1:"):]} {
		if fieldOf(got, name) != want {
			t.Errorf("%s: %q, want %q", name, fieldOf(got, name), want)
		}
	}
}

// TestHTTP3Answers: answers of ours and of backends, as a client sees them.
func TestHTTP3Answers(t *testing.T) {
	b := newBackend(t, func(p *peer) {
		for m := p.message(); m != ""; m = p.message() {
			switch path, _, _ := strings.Cut(m, " HTTP/1.1"); path {
			case "GET /chunked":
				p.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n")
			case "GET /none":
				p.send("HTTP/1.1 204 No Content\r\n\r\n")
			case "GET /same":
				p.send("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n")
			case "HEAD /":
				p.send("HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n")
			default:
				p.send(ok2)
			}
		}
	})
	r := limited(t, func(l *settings.Limits) { l.HeaderBytes, l.TargetBytes, l.HeaderFields = 4096, 100, 20 })
	s := tlsRule(t, b.addr, map[string]keyPair{"*": newKeyPair(t, "x")})
	r.applySnapshot(s)
	c := r.client3(nil)
	many := map[string]string{}
	for i := range 20 {
		many[fmt.Sprintf("X-%d", i)] = "x"
	}
	tests := []struct {
		method, path string
		fields       map[string]string
		status       int
		body         string
		length       int64
	}{
		{"GET", "/", nil, 200, "ok", 2},
		{"GET", "/chunked", nil, 200, "abcdef", -1},
		{"GET", "/none", nil, 204, "", 0},
		{"GET", "/same", nil, 304, "", 9},
		{"HEAD", "/", nil, 200, "", 77},
		{"TRACE", "/", nil, 405, "method_refused", 0},
		{"GET", "/", map[string]string{"X-Long": strings.Repeat("x", 5000)}, 431, "headers_too_large", 0},
		{"GET", "/", many, 431, "headers_too_large", 0},
		{"GET", "/" + strings.Repeat("x", 100), nil, 414, "uri_too_long", 0},
	}
	for _, tt := range tests {
		req := c.request(tt.method, tt.path, nil)
		for name, value := range tt.fields {
			req.Header.Set(name, value)
		}
		status, body, answer := c.do(req)
		ours := status >= 400
		if status != tt.status || ours && !strings.Contains(body, "outcome: "+tt.body) || !ours && (body != tt.body || answer.ContentLength != tt.length) {
			t.Errorf("%s %.20s: %d %q, %d bytes", tt.method, tt.path, status, body, answer.ContentLength)
		}
	}
	r.log.wait(t, "431 headers_too_large")
}

func TestHTTP3WithoutARoute(t *testing.T) {
	b := newBackend(t, always(ok2))
	r := newRig3(t, nil)
	s := tlsRule(t, b.addr, map[string]keyPair{"*": newKeyPair(t, "x")})
	s.Config.Hosts[0].Name = "other.example"
	r.applySnapshot(freeze(s.Parts))
	if status, body := r.client3(nil).get("/"); status != 404 || !strings.Contains(body, "outcome: no_route") {
		t.Errorf("%d %q", status, body)
	}
	if text := string(r.metrics.WriteText()); !strings.Contains(text, `windrose_tls_handshakes_total{port="443",result="full"} 1`) {
		t.Error(text)
	}
}

// TestHTTP3Streaming: bodies go both ways while both are still coming.
func TestHTTP3Streaming(t *testing.T) {
	r, _ := serve3(t, func(p *peer) {
		head := p.head()
		if head == "" {
			return
		}
		p.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		for {
			size := p.line()
			piece := p.line()
			p.send(size + piece)
			if size == "0\r\n" {
				return
			}
		}
	})
	c := r.client3(nil)
	body, feed := io.Pipe()
	answer, err := c.RoundTrip(c.request("POST", "/", body))
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 5)
	for i := range 20 {
		piece := fmt.Sprintf("%05d", i)
		io.WriteString(feed, piece)
		if _, err := io.ReadFull(answer.Body, got); err != nil || string(got) != piece {
			t.Fatalf("%q %v, want %q", got, err, piece)
		}
	}
	feed.Close()
	if rest, err := io.ReadAll(answer.Body); len(rest) > 0 || err != nil {
		t.Errorf("%q %v", rest, err)
	}
	r.log.wait(t, "200 ok POST")
}

// TestHTTP3LargeBodies: bodies of many windows, both ways.
func TestHTTP3LargeBodies(t *testing.T) {
	const size = 8 << 20
	r, _ := serve3(t, func(p *peer) {
		p.head()
		p.patient()
		io.CopyN(io.Discard, p.r, size)
		p.send(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", size))
		io.CopyN(p.nc, &filler{}, size)
		p.rest()
	})
	c := r.client3(nil)
	req := c.request("POST", "/", io.LimitReader(&filler{}, size))
	req.ContentLength = size
	answer, err := c.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, answer.Body); n != size || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// TestHTTP3Trailers: trailers go both ways, as gRPC needs them.
func TestHTTP3Trailers(t *testing.T) {
	r, _ := serve3(t, func(p *peer) {
		head := p.head()
		p.body(head)
		p.send("HTTP/1.1 200 OK\r\nTrailer: Grpc-Status\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nGrpc-Status: 7\r\nGrpc-Message: no\r\n\r\n")
	})
	r2, b := serve3(t, echo)
	c := r.client3(nil)
	req := c.request("POST", "/", strings.NewReader("hello"))
	req.Header.Set("TE", "trailers")
	status, body, answer := c.do(req)
	if status != 200 || body != "ok" || answer.Trailer.Get("Grpc-Status") != "7" || answer.Trailer.Get("Grpc-Message") != "no" {
		t.Errorf("%d %q %v", status, body, answer.Trailer)
	}
	c = r2.client3(nil)
	req = c.request("POST", "/", struct{ io.Reader }{strings.NewReader("hello")})
	req.Trailer = http.Header{"X-Sum": {"5"}, "Content-Length": {"9"}}
	c.do(req)
	if got := b.bytes(); !strings.HasSuffix(got, "\r\n0\r\nx-sum: 5\r\n\r\n") {
		t.Errorf("the backend got %q", got)
	}
}

// TestHTTP3Interim: 1xx answers go to the client before the final one.
func TestHTTP3Interim(t *testing.T) {
	r, _ := serve3(t, func(p *peer) {
		p.message()
		p.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n" + ok2)
		p.rest()
	})
	c := r.client3(nil)
	var hints []string
	req := c.request("GET", "/", nil)
	req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			hints = append(hints, fmt.Sprint(code, header.Get("Link")))
			return nil
		},
	}))
	if status, body, _ := c.do(req); status != 200 || body != "ok" {
		t.Errorf("%d %q", status, body)
	}
	if strings.Join(hints, "|") != "103</a.css>" {
		t.Errorf("%q", hints)
	}
}

// TestHTTP3EarlyAnswer: an answer that comes before the request's end reaches
// the client, which is told that nobody wants the rest (RFC 9114 §4.1).
func TestHTTP3EarlyAnswer(t *testing.T) {
	r, _ := serve3(t, func(p *peer) {
		if p.head() != "" {
			p.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
			p.rest()
		}
	})
	c := r.raw()
	s := c.ask(false, fields(":method", "POST", ":scheme", "https", ":authority", "a.example", ":path", "/"), frame(0, "some"))
	answer, err := io.ReadAll(s)
	if err != nil || !bytes.HasSuffix(answer, frame(0, "no")) {
		t.Fatalf("%q %v", answer, err)
	}
	<-s.Context().Done()
	var stopped interface{ Error() string } = context.Cause(s.Context())
	if !strings.Contains(stopped.Error(), "256") && !strings.Contains(stopped.Error(), "0x100") {
		t.Errorf("the client is told %v, not H3_NO_ERROR", stopped)
	}
	r.log.wait(t, "403 ok POST")
}

// TestHTTP3ClientAbort: when a client gives a request up, the work at the
// backend ends: before the answer, in the middle of it, and of the body.
func TestHTTP3ClientAbort(t *testing.T) {
	for _, stage := range []string{"waiting", "answering", "sending"} {
		working, gone := newSignal(), newSignal()
		r, _ := serve3(t, func(p *peer) {
			p.head()
			if stage == "answering" {
				p.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome")
			}
			working.fire()
			p.rest()
			gone.fire()
		})
		c := r.client3(nil)
		ctx, cancel := context.WithCancel(patientContext(t))
		var body io.Reader
		method := "GET"
		if stage == "sending" {
			pipe, feed := io.Pipe()
			go io.WriteString(feed, "some")
			body, method = pipe, "POST"
		}
		done := make(chan error, 1)
		go func() {
			answer, err := c.RoundTrip(c.request(method, "/", body).WithContext(ctx))
			if err == nil {
				_, err = io.ReadAll(answer.Body)
			}
			done <- err
		}()
		working.wait(t, "the request reaches the backend")
		cancel()
		gone.wait(t, stage+": the backend sees its connection close")
		if err := <-done; err == nil {
			t.Errorf("%s: the client got an answer", stage)
		}
		r.log.wait(t, "client_gone")
	}
}

// TestHTTP3BrokenAnswer: an answer that breaks off is a reset, and not the end.
func TestHTTP3BrokenAnswer(t *testing.T) {
	r, _ := serve3(t, func(p *peer) {
		p.message()
		p.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n")
	})
	c := r.client3(nil)
	answer, err := c.RoundTrip(c.request("GET", "/", nil))
	if err == nil { // otherwise the reset has overtaken the head (RFC 9000 §3.2)
		_, err = io.ReadAll(answer.Body)
	}
	var reset *quichttp3.Error
	if !errors.As(err, &reset) || reset.ErrorCode != quichttp3.ErrCodeInternalError || !reset.Remote {
		t.Error(err)
	}
	r.log.wait(t, "upstream_truncated")
}

// TestHTTP3SlowClients: a client that stops sending, or stops reading, holds
// nothing for ever.
func TestHTTP3SlowClients(t *testing.T) {
	gone := make(chan struct{}, 8)
	b := newBackend(t, func(p *peer) {
		if head := p.head(); strings.HasPrefix(head, "GET") {
			p.send("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
			io.CopyN(p.nc, &filler{}, 100_000_000)
		}
		p.rest()
		gone <- struct{}{}
	})
	r := limited(t, func(l *settings.Limits) { l.BodyTimeout, l.HeaderTimeout = 100*time.Millisecond, time.Second })
	r.applySnapshot(tlsRule(t, b.addr, map[string]keyPair{"*": newKeyPair(t, "x")}))
	c := r.raw()
	post := fields(":method", "POST", ":scheme", "https", ":authority", "a.example", ":path", "/")
	answer, err := io.ReadAll(c.ask(false, post, frame(0, "some")))
	if err != nil || !bytes.Contains(answer, []byte("outcome: client_timeout")) {
		t.Errorf("a body that stops: %q %v", answer, err)
	}
	<-gone
	answer, err = io.ReadAll(c.ask(false, post[:10]))
	if err != nil || !bytes.Contains(answer, []byte("outcome: client_timeout")) {
		t.Errorf("a head that stops: %q %v", answer, err)
	}
	c.ask(true, getFields()) // nobody reads the answer
	<-gone
	r.log.wait(t, "200 client_timeout GET")
}
