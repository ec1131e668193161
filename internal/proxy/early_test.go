package proxy_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	xhttp2 "golang.org/x/net/http2"

	"windrose.dev/windrose/internal/proxy"
	"windrose.dev/windrose/internal/proxy/sock"
)

// earlyRig answers all requests with 404 before their bodies have come.
func earlyRig(t *testing.T, discard sock.Discard) *rig {
	r := newRig(t, func(cfg *proxy.Config) { cfg.Limits.Discard = discard })
	r.apply("listener 80 http\nhost other 80\nblock test by-specificity\nrule r prefix:/ respond=503:closed\n")
	return r
}

// next reads the frames of a stream, and PINGs, until wanted takes one.
func (f *framer2) next(what string, wanted func(xhttp2.Frame) bool) xhttp2.Frame {
	f.t.Helper()
	frame := f.until(wanted)
	if frame == nil {
		f.t.Fatalf("the connection ended before %s", what)
	}
	return frame
}

func answerEnds(frame xhttp2.Frame) bool {
	data, is := frame.(*xhttp2.DataFrame)
	return is && data.StreamEnded()
}

func isReset(frame xhttp2.Frame) bool { _, is := frame.(*xhttp2.RSTStreamFrame); return is }

// resetOrPing is the first of a reset and the answer to a PING: what was sent before
// the PING was looked at.
func (f *framer2) resetOrPing() xhttp2.Frame {
	f.t.Helper()
	f.WritePing(false, [8]byte{1})
	return f.next("the answer to a PING", func(frame xhttp2.Frame) bool {
		ping, is := frame.(*xhttp2.PingFrame)
		return is && ping.IsAck() || isReset(frame)
	})
}

// A client that sends on behind the answer to its request is left alone until it is
// done, so that it keeps the answer (RFC 9113 §8.1).
func TestHTTP2EarlyAnswer(t *testing.T) {
	r := earlyRig(t, sock.DefaultDiscard())
	f := r.framer2()
	for id := uint32(1); id < 9; id += 2 {
		f.ask(id, false, pseudo("POST", "/")...)
		f.next("the answer", answerEnds)
		for range 4 { // as much as the window takes at first, in parts
			f.WriteData(id, false, make([]byte, 15_000))
			if frame, reset := f.resetOrPing().(*xhttp2.RSTStreamFrame); reset {
				t.Fatalf("stream %d was reset: %v", id, frame.ErrCode)
			}
		}
		f.WriteData(id, true, []byte("end"))
		if frame, reset := f.resetOrPing().(*xhttp2.RSTStreamFrame); reset {
			t.Fatalf("stream %d was reset behind its end: %v", id, frame.ErrCode)
		}
	}
}

// What is read of such a request is bounded in bytes, in time, and in the time that
// it may be silent. Then the stream is reset, and the connection goes on.
func TestHTTP2EarlyAnswerIsBounded(t *testing.T) {
	for name, discard := range map[string]sock.Discard{
		"bytes": {Bytes: 40_000, Time: time.Hour, Pause: time.Hour},
		"time":  {Bytes: 1 << 40, Time: 50 * time.Millisecond, Pause: time.Hour},
		"pause": {Bytes: 1 << 40, Time: time.Hour, Pause: 50 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			f := earlyRig(t, discard).framer2()
			f.ask(1, false, pseudo("POST", "/")...)
			f.next("the answer", answerEnds)
			if name == "bytes" {
				for range 4 {
					f.WriteData(1, false, make([]byte, 15_000))
				}
			}
			reset := f.next("the reset", isReset).(*xhttp2.RSTStreamFrame)
			if reset.ErrCode != xhttp2.ErrCodeNo || reset.StreamID != 1 {
				t.Errorf("reset of stream %d with %v", reset.StreamID, reset.ErrCode)
			}
			f.WriteData(1, true, []byte("was on its way"))
			f.ask(3, true, pseudo("GET", "/")...)
			f.next("the next answer", answerEnds)
		})
	}
}

// The clients of the standard library and of HTTP/3 get early answers whole, however
// large the body is.
func TestEarlyAnswersToClients(t *testing.T) {
	r := newRig3(t, nil)
	r.applySnapshot(tlsRule(t, "127.0.0.1:1", map[string]keyPair{"*": newKeyPair(t, "x")}))
	c := r.client3(nil)
	for _, size := range []int{1, 10_000, 3 << 20} {
		for range 3 {
			status, body, _ := c.do(c.request("POST", "/", bytes.NewReader(make([]byte, size))))
			if status != 503 && status != 502 || !strings.Contains(body, "outcome: ") {
				t.Errorf("HTTP/3, %d bytes: %d %q", size, status, body)
			}
		}
	}
	early := earlyRig(t, sock.DefaultDiscard())
	client := early.client2()
	for _, size := range []int{1, 10_000, 3 << 20} {
		for range 3 {
			resp, err := client.Post(early.url("/"), "text/plain", bytes.NewReader(make([]byte, size)))
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != http.StatusNotFound || !strings.Contains(string(body), "outcome: no_route") {
				t.Errorf("HTTP/2, %d bytes: %d %q %v", size, resp.StatusCode, body, err)
			}
		}
	}
}

// A backend's lengths that wrap are no answer, whatever else it says beside them, and
// nothing of them reaches the client.
func TestLengthsOfBackendsThatWrap(t *testing.T) {
	for _, fields := range []string{
		"Content-Length: 9999999999999999999\r\n",
		"Content-Length: 9999999999999999999\r\nContent-Length: 2\r\n",
		"Content-Length: 2\r\nContent-Length: 9999999999999999999\r\n",
		"Content-Length: 9223372036854775808\r\n",
	} {
		r, _ := serve(t, "", always(fmt.Sprintf("HTTP/1.1 200 OK\r\n%s\r\nok", fields)))
		if got, want := plain(r.ask(get("/"))), failed(502, "Bad Gateway", "upstream_invalid"); got != want {
			t.Errorf("%q: %q", fields, got)
		}
	}
}

// A length that wraps is malformed over HTTP/2, and costs its stream alone.
func TestHTTP2LengthsThatWrap(t *testing.T) {
	r, b := serve(t, "", always(ok2))
	f := r.framer2()
	for i, fields := range [][]string{
		{"content-length", "9999999999999999999"},
		{"content-length", "9999999999999999999", "content-length", "5"},
		{"content-length", "5", "content-length", "9999999999999999999"},
	} {
		f.ask(uint32(2*i+1), false, append(pseudo("POST", "/"), fields...)...)
		if reset := f.next("the reset", isReset).(*xhttp2.RSTStreamFrame); reset.ErrCode != xhttp2.ErrCodeProtocol {
			t.Errorf("%v: %v", fields, reset.ErrCode)
		}
	}
	f.ask(101, true, pseudo("GET", "/")...)
	f.next("an answer", answerEnds)
	if got := b.bytes(); strings.Count(got, "HTTP/1.1\r\n") != 1 {
		t.Errorf("the backend got %q", got)
	}
}
