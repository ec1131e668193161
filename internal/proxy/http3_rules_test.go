package proxy_test

import (
	"io"
	"strings"
	"testing"

	"github.com/quic-go/quic-go"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy"
)

// The codes of RFC 9114 §8.1 and RFC 9204 §6.
const (
	h3StreamCreation    = 0x103
	h3ClosedCritical    = 0x104
	h3FrameUnexpected   = 0x105
	h3FrameError        = 0x106
	h3IDError           = 0x108
	h3SettingsError     = 0x109
	h3MissingSettings   = 0x10a
	h3RequestIncomplete = 0x10d
	h3MessageError      = 0x10e
	qpackFailed         = 0x200
	qpackEncoderStream  = 0x201
	qpackDecoderStream  = 0x202
)

// TestHTTP3MalformedRequests: what breaks a rule of RFC 9114 §4 costs its stream
// and leaves one line; the connection goes on, and no backend hears of it.
func TestHTTP3MalformedRequests(t *testing.T) {
	r, b := serve3(t, echo)
	c := r.raw()
	tests := []struct {
		name   string
		frames [][]byte
		code   quic.StreamErrorCode
	}{
		{"upper case", [][]byte{getFields("X-A", "1")}, h3MessageError},
		{"a name that is no token", [][]byte{getFields("x a", "1")}, h3MessageError},
		{"a name that is empty", [][]byte{getFields("", "1")}, h3MessageError},
		{"a line break in a value", [][]byte{getFields("x-a", "1\r\nx-b: 2")}, h3MessageError},
		{"white space around a value", [][]byte{getFields("x-a", " 1")}, h3MessageError},
		{"connection", [][]byte{getFields("connection", "close")}, h3MessageError},
		{"transfer-encoding", [][]byte{getFields("transfer-encoding", "chunked")}, h3MessageError},
		{"upgrade", [][]byte{getFields("upgrade", "websocket")}, h3MessageError},
		{"te", [][]byte{getFields("te", "gzip")}, h3MessageError},
		{"another Host", [][]byte{getFields("host", "b.example")}, h3MessageError},
		{"a pseudo-field behind a field", [][]byte{getFields("x-a", "1", ":path", "/")}, h3MessageError},
		{"a pseudo-field twice", [][]byte{getFields(":path", "/")}, h3MessageError},
		{"a pseudo-field of answers", [][]byte{getFields(":status", "200")}, h3MessageError},
		{"a protocol that we do not offer", [][]byte{getFields(":protocol", "websocket")}, h3MessageError},
		{"no path", [][]byte{fields(":method", "GET", ":scheme", "https", ":authority", "a")}, h3MessageError},
		{"no method", [][]byte{fields(":scheme", "https", ":authority", "a", ":path", "/")}, h3MessageError},
		{"no authority", [][]byte{fields(":method", "GET", ":scheme", "https", ":path", "/")}, h3MessageError},
		{"an empty path", [][]byte{fields(":method", "GET", ":scheme", "https", ":authority", "a", ":path", "")}, h3MessageError},
		{"a space in the path", [][]byte{fields(":method", "GET", ":scheme", "https", ":authority", "a", ":path", "/a b")}, h3MessageError},
		{"a space in the method", [][]byte{fields(":method", "GET /x HTTP/1.1", ":scheme", "https", ":authority", "a", ":path", "/")}, h3MessageError},
		{"CONNECT with a path", [][]byte{fields(":method", "CONNECT", ":scheme", "https", ":authority", "a:1", ":path", "/")}, h3MessageError},
		{"two lengths", [][]byte{getFields("content-length", "1", "content-length", "1"), frame(0, "x")}, h3MessageError},
		{"a length that is none", [][]byte{getFields("content-length", "+1"), frame(0, "x")}, h3MessageError},
		{"a length that wraps", [][]byte{getFields("content-length", "9999999999999999999"), frame(0, "x")}, h3MessageError},
		{"two lengths, of which one wraps", [][]byte{getFields("content-length", "9999999999999999999", "content-length", "1"), frame(0, "x")}, h3MessageError},
		{"less body than it says", [][]byte{getFields("content-length", "5"), frame(0, "some")}, h3MessageError},
		{"more body than it says", [][]byte{getFields("content-length", "3"), frame(0, "some")}, h3MessageError},
		{"no head", nil, h3RequestIncomplete},
	}
	for _, tt := range tests {
		if got := streamCode(t, c.ask(true, tt.frames...)); got != tt.code {
			t.Errorf("%s: %#x, want %#x", tt.name, got, tt.code)
		}
	}
	c.ask(true, getFields())
	r.log.wait(t, "200 ok GET")
	if got := strings.Count(r.log.all(), "400 bad_request"); got != len(tests) {
		t.Errorf("%d lines for %d requests:\n%s", got, len(tests), r.log.all())
	}
	if got := strings.Count(b.bytes(), "HTTP/1.1"); got != 1 {
		t.Errorf("the backend got %q", b.bytes())
	}
}

// TestHTTP3BrokenConnections: what breaks a rule of the connection ends it, and
// leaves one line.
func TestHTTP3BrokenConnections(t *testing.T) {
	r, _ := serve3(t, echo)
	settings := append([]byte{0x00}, frame(0x04, "")...)
	tests := []struct {
		name string
		do   func(c *raw)
		code quic.ApplicationErrorCode
	}{
		{"DATA before the head", func(c *raw) { c.ask(true, frame(0, "some")) }, h3FrameUnexpected},
		{"DATA behind the trailers", func(c *raw) { c.ask(true, getFields(), fields("x-a", "1"), frame(0, "some")) }, h3FrameUnexpected},
		{"trailers twice", func(c *raw) { c.ask(true, getFields(), fields("x-a", "1"), fields("x-a", "1")) }, h3FrameUnexpected},
		{"SETTINGS on a request", func(c *raw) { c.ask(true, frame(0x04, "")) }, h3FrameUnexpected},
		{"GOAWAY on a request", func(c *raw) { c.ask(true, getFields(), frame(0x07, "\x00")) }, h3FrameUnexpected},
		{"PUSH_PROMISE of a client", func(c *raw) { c.ask(true, frame(0x05, "\x00")) }, h3FrameUnexpected},
		{"PRIORITY of HTTP/2", func(c *raw) { c.ask(true, frame(0x02, "")) }, h3FrameUnexpected},
		{"PING of HTTP/2", func(c *raw) { c.ask(true, getFields(), frame(0x06, "")) }, h3FrameUnexpected},
		{"a frame that is cut off", func(c *raw) { c.ask(true, getFields(), []byte{0, 5, 'x'}) }, h3FrameError},
		{"a head that is cut off", func(c *raw) { c.ask(true, getFields()[:20]) }, h3FrameError},
		{"a dynamic table", func(c *raw) { c.ask(true, frame(1, "\x02\x00\x80")) }, qpackFailed},
		{"an entry that is not in the table", func(c *raw) { c.ask(true, frame(1, "\x00\x00\xff\x40")) }, qpackFailed},
		{"two control streams", func(c *raw) { c.own(settings...); c.own(settings...) }, h3StreamCreation},
		{"two encoders", func(c *raw) { c.own(0x02); c.own(0x02) }, h3StreamCreation},
		{"a push stream", func(c *raw) { c.own(0x01) }, h3StreamCreation},
		{"a control stream without SETTINGS", func(c *raw) { c.own(append([]byte{0x00}, frame(0x07, "\x00")...)...) }, h3MissingSettings},
		{"SETTINGS twice", func(c *raw) { c.own(append(settings, frame(0x04, "")...)...) }, h3FrameUnexpected},
		{"DATA on the control stream", func(c *raw) { c.own(append(settings, frame(0x00, "x")...)...) }, h3FrameUnexpected},
		{"a setting of HTTP/2", func(c *raw) { c.own(append([]byte{0x00}, frame(0x04, "\x04\x01")...)...) }, h3SettingsError},
		{"a setting twice", func(c *raw) { c.own(append([]byte{0x00}, frame(0x04, "\x06\x01\x06\x01")...)...) }, h3SettingsError},
		{"half a setting", func(c *raw) { c.own(append([]byte{0x00}, frame(0x04, "\x06")...)...) }, h3FrameError},
		{"MAX_PUSH_ID that shrinks", func(c *raw) { c.own(append(settings, 0x0d, 0x01, 0x05, 0x0d, 0x01, 0x04)...) }, h3IDError},
		{"CANCEL_PUSH of nothing", func(c *raw) { c.own(append(settings, frame(0x03, "\x00")...)...) }, h3IDError},
		{"the end of the control stream", func(c *raw) { c.own(settings...).Close() }, h3ClosedCritical},
		{"the end of the encoder", func(c *raw) { c.own(0x02).Close() }, h3ClosedCritical},
		{"the end of the decoder", func(c *raw) { c.own(0x03).Close() }, h3ClosedCritical},
		{"an insertion", func(c *raw) { c.own(0x02, 0x41, 'x', 0x00) }, qpackEncoderStream},
		{"an acknowledgement", func(c *raw) { c.own(0x03, 0x80) }, qpackDecoderStream},
	}
	for _, tt := range tests {
		c := r.raw()
		tt.do(c)
		if got := c.connCode(); got != tt.code {
			t.Errorf("%s: %#x, want %#x", tt.name, got, tt.code)
		}
	}
	eventually(t, "no connection is left", func() bool { return r.proxy.Connections() == 0 })
	eventually(t, "each has a line", func() bool { return strings.Count(r.log.all(), "400 bad_request") == len(tests) })
}

// TestHTTP3Tolerance: what RFC 9114 §9 has us ignore.
func TestHTTP3Tolerance(t *testing.T) {
	r, b := serve3(t, echo)
	c := r.raw()
	c.own(append(append([]byte{0x00}, frame(0x04, "\x21\x01\x01\x00")...), frame(0x21, "grease")...)...)
	c.own(0x02, 0x20)       // an encoder without a table
	c.own(0x03, 0x7f, 0x05) // a decoder that gave a stream up
	c.own(0x21, 'x')        // a stream of a kind that nobody knows
	post := fields(":method", "POST", ":scheme", "https", ":authority", "a.example", ":path", "/")
	s := c.ask(true, frame(0x21, "grease"), post, frame(0x21, ""), frame(0, "so"), frame(0x21, "grease"), frame(0, ""), frame(0, "me"), fields("x-sum", "4"), frame(0x21, "grease"))
	answer, err := io.ReadAll(s)
	if err != nil || !strings.HasSuffix(b.bytes(), "\r\n\r\n4\r\nsome\r\n0\r\nx-sum: 4\r\n\r\n") && !strings.Contains(b.bytes(), "x-sum: 4") {
		t.Errorf("%q %v; the backend got %q", answer, err, b.bytes())
	}
	if c.Context().Err() != nil {
		t.Error("the connection has ended")
	}
}

// TestHTTP3Defect: a panic costs one stream.
func TestHTTP3Defect(t *testing.T) {
	quiet := silenceStderr(t)
	defer quiet()
	b := newBackend(t, always(ok2))
	for _, inResponse := range []bool{false, true} {
		r := newRig3(t, func(cfg *proxy.Config) {
			cfg.Filters = breakingTable(inResponse)
		})
		r.panics = 3
		parts := tlsRule(t, b.addr, map[string]keyPair{"*": newKeyPair(t, "x")}).Parts
		block := &parts.Config.Hosts[0].Blocks[0]
		broken := block.Rules[0]
		broken.ID, broken.Path.Value = "broken", "/broken"
		broken.Filters = model.Filters{&model.Rewrite{Host: "x"}}
		block.Rules = append(block.Rules, broken)
		r.applySnapshot(freeze(parts))
		c := r.client3(nil)
		for range 3 {
			if status, body := c.get("/broken"); status != 500 || !strings.Contains(body, "internal_error") {
				t.Errorf("%d %q", status, body)
			}
			if status, body := c.get("/fine"); status != 200 || body != "ok" {
				t.Errorf("%d %q", status, body)
			}
		}
		if n := r.proxy.Connections(); n != 1 {
			t.Errorf("%d connections", n)
		}
	}
}
