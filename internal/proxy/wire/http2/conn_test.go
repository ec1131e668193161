package http2

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	xhttp2 "golang.org/x/net/http2"

	"windrose.dev/windrose/internal/proxy/msg"
)

// feed passes the input to a Conn in pieces of that many bytes, as a socket would.
func feed(c *Conn, input []byte, piece int) error {
	var pending []byte
	for len(input) > 0 {
		n := min(piece, len(input))
		pending = append(pending, input[:n]...)
		input = input[n:]
		used, err := c.Read(pending, 0)
		if err != nil {
			return err
		}
		pending = append([]byte(nil), pending[used:]...)
	}
	return nil
}

// serve passes what a script wrote to a server's Conn. It returns the calls of the
// handler, and the output after the first SETTINGS.
func serve(t *testing.T, s *script, piece int) (told, answered string) {
	t.Helper()
	j := &journal{}
	c := NewConn(testConfig(true), j, 0)
	c.Take(nil)
	feed(c, s.Bytes(), piece)
	return strings.TrimSpace(j.String()), said(t, c.Take(nil))
}

// Rules of RFC 9113, with the section and the error code of each.
func TestViolations(t *testing.T) {
	const ack = "settings ack\n"
	tests := []struct {
		name  string
		write func(s *script)
		want  string
	}{
		{"3.4 no SETTINGS first", func(s *script) {
			s.Reset()
			s.WriteString(Preface)
			s.WritePing(false, [8]byte{})
		}, "goaway 0 PROTOCOL_ERROR"},
		{"3.4 not a preface", func(s *script) {
			s.Reset()
			s.WriteString("GET / HTTP/1.1\r\n\r\n")
		}, "goaway 0 PROTOCOL_ERROR"},
		{"4.1 unknown frame", func(s *script) { s.WriteRawFrame(0x16, 0, 0, []byte("x")) }, "settings ack"},
		{"4.2 frame too large", func(s *script) { s.WriteRawFrame(0x16, 0, 0, make([]byte, maxFrame+1)) }, ack + "goaway 0 FRAME_SIZE_ERROR"},
		{"4.3 broken block", func(s *script) {
			s.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, EndHeaders: true, EndStream: true})
		}, ack + "goaway 1 COMPRESSION_ERROR"},
		{"4.3 block interrupted", func(s *script) {
			s.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: s.head(getRoot...)})
			s.WritePing(false, [8]byte{})
		}, ack + "goaway 1 PROTOCOL_ERROR"},
		{"5.1 idle DATA", func(s *script) { s.WriteData(1, true, nil) }, ack + "goaway 0 PROTOCOL_ERROR"},
		{"5.1 idle RST_STREAM", func(s *script) { s.WriteRSTStream(1, xhttp2.ErrCodeCancel) }, ack + "goaway 0 PROTOCOL_ERROR"},
		{"5.1 idle WINDOW_UPDATE", func(s *script) { s.WriteWindowUpdate(1, 1) }, ack + "goaway 0 PROTOCOL_ERROR"},
		{"5.1 DATA after the end", func(s *script) { s.get(1); s.WriteData(1, true, nil) }, ack + "1 reset STREAM_CLOSED"},
		{"5.1 HEADERS after the end", func(s *script) { s.get(1); s.get(1) }, ack + "1 reset STREAM_CLOSED"},
		{"5.1 DATA after a reset", func(s *script) {
			s.request(1, false)
			s.WriteRSTStream(1, xhttp2.ErrCodeCancel)
			s.WriteData(1, true, nil)
		}, ack + "1 reset STREAM_CLOSED"},
		{"5.1 HEADERS after a reset", func(s *script) {
			s.request(1, false)
			s.WriteRSTStream(1, xhttp2.ErrCodeCancel)
			s.get(1)
		}, ack + "goaway 1 STREAM_CLOSED"},
		{"5.1.1 even number", func(s *script) { s.get(2) }, ack + "goaway 0 PROTOCOL_ERROR"},
		{"5.1.1 lower number", func(s *script) { s.get(5); s.get(3) }, ack + "goaway 5 PROTOCOL_ERROR"},
		{"5.1.2 too many", func(s *script) {
			for id := uint32(1); id < 2*9; id += 2 {
				s.get(id)
			}
		}, ack + "17 reset REFUSED_STREAM"},
		{"6.1 DATA on no stream", func(s *script) { s.WriteRawFrame(xhttp2.FrameData, 0, 0, []byte("x")) }, ack + "goaway 0 PROTOCOL_ERROR"},
		{"6.1 too much padding", func(s *script) {
			s.request(1, false)
			s.WriteRawFrame(xhttp2.FrameData, flagPadded, 1, []byte{5, 'x'})
		}, ack + "goaway 1 PROTOCOL_ERROR"},
		{"6.2 HEADERS on no stream", func(s *script) { s.WriteRawFrame(xhttp2.FrameHeaders, flagEndHeaders, 0, s.head(getRoot...)) }, ack + "goaway 0 PROTOCOL_ERROR"},
		{"6.2 too much padding", func(s *script) { s.WriteRawFrame(xhttp2.FrameHeaders, flagPadded|flagEndHeaders, 1, []byte{9, 'x'}) }, ack + "goaway 0 PROTOCOL_ERROR"},
		{"6.3 PRIORITY on no stream", func(s *script) { s.WriteRawFrame(xhttp2.FramePriority, 0, 0, make([]byte, 5)) }, ack + "goaway 0 PROTOCOL_ERROR"},
		{"6.3 PRIORITY length", func(s *script) {
			s.request(1, false)
			s.WriteRawFrame(xhttp2.FramePriority, 0, 1, make([]byte, 4))
		}, ack + "1 reset FRAME_SIZE_ERROR"},
		{"6.4 PRIORITY length on an idle stream", func(s *script) { s.WriteRawFrame(xhttp2.FramePriority, 0, 1, make([]byte, 4)) }, ack + "goaway 0 FRAME_SIZE_ERROR"},
		{"6.4 RST_STREAM on no stream", func(s *script) { s.WriteRawFrame(xhttp2.FrameRSTStream, 0, 0, make([]byte, 4)) }, ack + "goaway 0 PROTOCOL_ERROR"},
		{"6.4 RST_STREAM length", func(s *script) {
			s.request(1, false)
			s.WriteRawFrame(xhttp2.FrameRSTStream, 0, 1, make([]byte, 3))
		}, ack + "goaway 1 FRAME_SIZE_ERROR"},
		{"6.5 SETTINGS ack with payload", func(s *script) { s.WriteRawFrame(xhttp2.FrameSettings, flagAck, 0, make([]byte, 6)) }, ack + "goaway 0 FRAME_SIZE_ERROR"},
		{"6.5 SETTINGS on a stream", func(s *script) { s.WriteRawFrame(xhttp2.FrameSettings, 0, 1, nil) }, ack + "goaway 0 PROTOCOL_ERROR"},
		{"6.5 SETTINGS length", func(s *script) { s.WriteRawFrame(xhttp2.FrameSettings, 0, 0, make([]byte, 3)) }, ack + "goaway 0 FRAME_SIZE_ERROR"},
		{"6.5.2 ENABLE_PUSH", func(s *script) { s.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingEnablePush, Val: 2}) }, ack + "goaway 0 PROTOCOL_ERROR"},
		{"6.5.2 INITIAL_WINDOW_SIZE", func(s *script) {
			s.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 1 << 31})
		}, ack + "goaway 0 FLOW_CONTROL_ERROR"},
		{"6.5.2 MAX_FRAME_SIZE low", func(s *script) { s.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingMaxFrameSize, Val: 16383}) }, ack + "goaway 0 PROTOCOL_ERROR"},
		{"6.5.2 MAX_FRAME_SIZE high", func(s *script) { s.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingMaxFrameSize, Val: 1 << 24}) }, ack + "goaway 0 PROTOCOL_ERROR"},
		{"6.7 PING", func(s *script) { s.WritePing(false, [8]byte{1}) }, ack + "ping ack=true"},
		{"6.7 PING on a stream", func(s *script) { s.WriteRawFrame(xhttp2.FramePing, 0, 1, make([]byte, 8)) }, ack + "goaway 0 PROTOCOL_ERROR"},
		{"6.7 PING length", func(s *script) { s.WriteRawFrame(xhttp2.FramePing, 0, 0, make([]byte, 7)) }, ack + "goaway 0 FRAME_SIZE_ERROR"},
		{"6.8 GOAWAY on a stream", func(s *script) { s.WriteRawFrame(xhttp2.FrameGoAway, 0, 1, make([]byte, 8)) }, ack + "goaway 0 PROTOCOL_ERROR"},
		{"6.6 PUSH_PROMISE", func(s *script) { s.WriteRawFrame(xhttp2.FramePushPromise, 4, 1, make([]byte, 4)) }, ack + "goaway 0 PROTOCOL_ERROR"},
		{"6.9 WINDOW_UPDATE by 0", func(s *script) { s.WriteRawFrame(xhttp2.FrameWindowUpdate, 0, 0, make([]byte, 4)) }, ack + "goaway 0 PROTOCOL_ERROR"},
		{"6.9 WINDOW_UPDATE of a stream by 0", func(s *script) {
			s.request(1, false)
			s.WriteRawFrame(xhttp2.FrameWindowUpdate, 0, 1, make([]byte, 4))
		}, ack + "1 reset PROTOCOL_ERROR"},
		{"6.9 WINDOW_UPDATE length", func(s *script) { s.WriteRawFrame(xhttp2.FrameWindowUpdate, 0, 0, make([]byte, 3)) }, ack + "goaway 0 FRAME_SIZE_ERROR"},
		{"6.9.1 window overflow", func(s *script) { s.WriteWindowUpdate(0, maxWindow) }, ack + "goaway 0 FLOW_CONTROL_ERROR"},
		{"6.9.1 window overflow of a stream", func(s *script) { s.request(1, false); s.WriteWindowUpdate(1, maxWindow) }, ack + "1 reset FLOW_CONTROL_ERROR"},
		{"6.9.2 window overflow by SETTINGS", func(s *script) {
			s.request(1, false)
			s.WriteWindowUpdate(1, maxWindow-firstWindow)
			s.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: firstWindow + 1})
		}, ack + "goaway 1 FLOW_CONTROL_ERROR"},
		{"6.9.1 more than the window", func(s *script) {
			s.request(1, false)
			for range 4 {
				s.WriteData(1, false, make([]byte, maxFrame))
			}
		}, ack + "1 reset FLOW_CONTROL_ERROR"},
		{"6.10 CONTINUATION alone", func(s *script) { s.WriteContinuation(1, true, nil) }, ack + "goaway 0 PROTOCOL_ERROR"},
		{"8.1 trailers that do not end", func(s *script) {
			s.request(1, false)
			s.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: s.head("x", "y"), EndHeaders: true})
		}, ack + "1 reset PROTOCOL_ERROR"},
		{"8.1.1 body too long", func(s *script) { s.request(1, false, "content-length", "1"); s.WriteData(1, true, []byte("xy")) }, ack + "1 reset PROTOCOL_ERROR"},
		{"8.1.1 a length that wraps", func(s *script) {
			s.request(1, false, "content-length", "9999999999999999999")
			s.WriteData(1, true, []byte("x"))
		}, ack + "1 reset PROTOCOL_ERROR"},
		{"8.1.1 body too short", func(s *script) { s.request(1, false, "content-length", "3"); s.WriteData(1, true, []byte("xy")) }, ack + "1 reset PROTOCOL_ERROR"},
		{"8.1.1 body missing", func(s *script) { s.get(1, "content-length", "3") }, ack + "1 reset PROTOCOL_ERROR"},
		{"8.2.1 upper case", func(s *script) { s.get(1, "X-Upper", "1") }, ack + "1 reset PROTOCOL_ERROR"},
		{"8.2.1 newline in a value", func(s *script) { s.get(1, "x", "a\r\nb: c") }, ack + "1 reset PROTOCOL_ERROR"},
		{"8.2.1 NUL in a value", func(s *script) { s.get(1, "x", "a\x00") }, ack + "1 reset PROTOCOL_ERROR"},
		{"8.2.1 space in a name", func(s *script) { s.get(1, "x y", "a") }, ack + "1 reset PROTOCOL_ERROR"},
		{"8.2.1 colon in a name", func(s *script) { s.get(1, "x:y", "a") }, ack + "1 reset PROTOCOL_ERROR"},
		{"8.2.1 space before a value", func(s *script) { s.get(1, "x", " a") }, ack + "1 reset PROTOCOL_ERROR"},
		{"8.2.2 connection", func(s *script) { s.get(1, "connection", "keep-alive") }, ack + "1 reset PROTOCOL_ERROR"},
		{"8.2.2 transfer-encoding", func(s *script) { s.request(1, false, "transfer-encoding", "chunked") }, ack + "1 reset PROTOCOL_ERROR"},
		{"8.2.2 te", func(s *script) { s.get(1, "te", "gzip") }, ack + "1 reset PROTOCOL_ERROR"},
		{"8.3 pseudo behind", func(s *script) { s.get(1, "x", "y", ":path", "/") }, ack + "1 reset PROTOCOL_ERROR"},
		{"8.3 pseudo twice", func(s *script) { s.get(1, ":path", "/") }, ack + "1 reset PROTOCOL_ERROR"},
		{"8.3 pseudo unknown", func(s *script) { s.get(1, ":x", "/") }, ack + "1 reset PROTOCOL_ERROR"},
		{"8.3 status in a request", func(s *script) { s.get(1, ":status", "200") }, ack + "1 reset PROTOCOL_ERROR"},
		{"8.3.1 other Host", func(s *script) { s.get(1, "host", "b.example") }, ack + "1 reset PROTOCOL_ERROR"},
		{"8.5 CONNECT with a path", func(s *script) {
			s.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, EndHeaders: true, BlockFragment: s.head(":method", "CONNECT", ":authority", "a:1", ":path", "/")})
		}, ack + "1 reset PROTOCOL_ERROR"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, piece := range []int{1 << 20, 7} {
				s := newScript(true)
				tt.write(s)
				if _, answered := serve(t, s, piece); answered != tt.want {
					t.Errorf("in pieces of %d: %s", piece, cmp.Diff(tt.want, answered))
				}
			}
		})
	}
}

// Path, method and scheme are required, and the path starts with a slash.
func TestMissingPseudoFields(t *testing.T) {
	for _, pairs := range [][]string{
		{":scheme", "https", ":path", "/"},
		{":method", "GET", ":path", "/"},
		{":method", "GET", ":scheme", "https"},
		{":method", "GET", ":scheme", "https", ":path", ""},
		{":method", "GET", ":scheme", "https", ":path", "x"},
		{":method", "GET", ":scheme", "https", ":path", "*"},
		{":method", "G T", ":scheme", "https", ":path", "/"},
		{":method", "GET", ":scheme", "https", ":path", "/a b"},
		{":method", "GET", ":scheme", "https", ":path", "/", ":protocol", "websocket"},
		{":method", "CONNECT", ":scheme", "https", ":path", "/", ":authority", "a", ":protocol", "websocket\r\nX: y"},
		{":method", "GET", ":scheme", "ht tp", ":path", "/", ":authority", "a"},
		{},
	} {
		s := newScript(true)
		s.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, EndHeaders: true, EndStream: true, BlockFragment: s.head(pairs...)})
		if told, answered := serve(t, s, 1<<20); answered != "settings ack\n1 reset PROTOCOL_ERROR" || !strings.HasPrefix(told, "1 refused: ") {
			t.Errorf("%q: %s %s", pairs, told, answered)
		}
	}
}

func TestRequests(t *testing.T) {
	tests := []struct {
		name  string
		write func(s *script)
		want  string
	}{
		{
			"fields", func(s *script) { s.get(1, "x-b", "", "accept", "*/*", "host", "A.example") },
			"1 head GET / ended=true\n  host: a.example\n  x-b: \n  accept: */*",
		},
		{"no authority", func(s *script) {
			s.WriteHeaders(xhttp2.HeadersFrameParam{
				StreamID: 1, EndHeaders: true, EndStream: true,
				BlockFragment: s.head(":method", "GET", ":scheme", "http", ":path", "/x?y", "host", "b"),
			})
		}, "1 head GET /x?y ended=true\n  host: b"},
		{
			"cookies are joined", func(s *script) { s.get(1, "cookie", "a=1", "x", "y", "cookie", "b=2") },
			"1 head GET / ended=true\n  host: a.example\n  x: y\n  cookie: a=1; b=2",
		},
		{"CONTINUATION, padding and priority", func(s *script) {
			block := s.head(append(append([]string(nil), getRoot...), "x", strings.Repeat("y", 100))...)
			s.WriteHeaders(xhttp2.HeadersFrameParam{
				StreamID: 1, EndStream: true, BlockFragment: block[:9], PadLength: 5, Priority: xhttp2.PriorityParam{StreamDep: 3},
			})
			s.WriteContinuation(1, false, block[9:40])
			s.WriteContinuation(1, true, block[40:])
		}, "1 head GET / ended=true\n  host: a.example\n  x: " + strings.Repeat("y", 100)},
		{"body and trailers", func(s *script) {
			s.request(1, false, "content-length", "5")
			s.WriteDataPadded(1, false, []byte("he"), make([]byte, 9))
			s.WriteData(1, false, []byte("llo"))
			s.WriteHeaders(xhttp2.HeadersFrameParam{
				StreamID: 1, EndStream: true, EndHeaders: true, BlockFragment: s.head("x-sum", "1", "authorization", "no", "content-length", "9"),
			})
		}, "1 head GET / ended=false\n  host: a.example\n  content-length: 5\n1 data 2 ended=false\n1 data 3 ended=false\n1 end \"x-sum: 1\\r\\n\""},
		{"body that ends in an empty frame", func(s *script) {
			s.request(1, false)
			s.WriteData(1, false, []byte("x"))
			s.WriteData(1, true, nil)
		}, "1 head GET / ended=false\n  host: a.example\n1 data 1 ended=false\n1 end \"\""},
		{"extended CONNECT", func(s *script) {
			s.WriteHeaders(xhttp2.HeadersFrameParam{
				StreamID: 1, EndHeaders: true,
				BlockFragment: s.head(":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":path", "/chat", ":authority", "a"),
			})
		}, "1 head GET /chat ended=false\n  host: a"},
		{"CONNECT", func(s *script) {
			s.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, EndHeaders: true, BlockFragment: s.head(":method", "CONNECT", ":authority", "a:1")})
		}, "1 head CONNECT a:1 ended=false\n  host: a:1"},
		{"too many fields", func(s *script) {
			var more []string
			for range 40 {
				more = append(more, "x", "y")
			}
			s.get(1, more...)
			s.get(3)
		}, "1 fault headers_too_large\n  host: a.example" + strings.Repeat("\n  x: y", 28) + "\n3 head GET / ended=true\n  host: a.example"},
		{"too long a target", func(s *script) {
			s.WriteHeaders(xhttp2.HeadersFrameParam{
				StreamID: 1, EndHeaders: true, EndStream: true,
				BlockFragment: s.head(":method", "GET", ":scheme", "http", ":path", "/"+strings.Repeat("x", 1024)),
			})
		}, "1 fault uri_too_long"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, piece := range []int{1 << 20, 1 << 10} {
				s := newScript(true)
				tt.write(s)
				if told, _ := serve(t, s, piece); told != tt.want {
					t.Errorf("in pieces of %d: %s", piece, cmp.Diff(tt.want, told))
				}
			}
		})
	}
}

// join exchanges the output of two Conns until neither has any.
func join(t *testing.T, a, b *Conn) {
	t.Helper()
	for a.Pending()+b.Pending() > 0 {
		out := a.Take(nil)
		if used, err := b.Read(out, 0); err != nil || used < len(out) {
			t.Fatal(used, len(out), err)
		}
		out = b.Take(nil)
		if used, err := a.Read(out, 0); err != nil || used < len(out) {
			t.Fatal(used, len(out), err)
		}
	}
}

func headOf(fields ...string) *msg.Head {
	h := &msg.Head{}
	for i := 0; i < len(fields); i += 2 {
		h.Add(msg.Classify([]byte(fields[i]), false), fields[i], []byte(fields[i+1]))
	}
	return h
}

// Our client and our server exchange bodies in both directions, an interim response and
// trailers.
func TestBothSides(t *testing.T) {
	atServer, atClient := &journal{}, &journal{}
	server, client := NewConn(testConfig(true), atServer, 0), NewConn(testConfig(false), atClient, 0)
	s := &Stream{}
	if !client.NewStream(s) {
		t.Fatal("no room")
	}
	client.SendRequest(s, &Request{Method: []byte("POST"), Scheme: []byte("https"), Target: []byte("/x")},
		headOf("Host", "a", "Connection", "close", "X-Long", strings.Repeat("z", 300), "Authorization", "Bearer x", "Accept-Encoding", "gzip, deflate"), false)
	client.SendData(s, []byte("hello"), false)
	client.SendTrailer(s, []byte("X-Sum: 1\r\n"))
	join(t, client, server)
	accepted := atServer.streams[0]
	early := headOf("Link", "x")
	early.Status = 103
	server.SendResponse(accepted, early, false)
	final := headOf("Content-Type", "text/plain")
	final.Status = 418
	server.SendResponse(accepted, final, false)
	server.SendData(accepted, make([]byte, 40000), true)
	join(t, client, server)
	wantServer := "1 head POST /x ended=false\n  host: a\n  x-long: " + strings.Repeat("z", 300) +
		"\n  authorization: Bearer x\n  accept-encoding: gzip, deflate\n1 data 5 ended=false\n1 end \"x-sum: 1\\r\\n\""
	if diff := cmp.Diff(wantServer, strings.TrimSpace(atServer.String())); diff != "" {
		t.Error(diff)
	}
	wantClient := "1 head 103 ended=false\n  link: x\n1 head 418 ended=false\n  content-type: text/plain\n" +
		"1 data 16384 ended=false\n1 data 16384 ended=false\n1 data 7232 ended=true"
	if diff := cmp.Diff(wantClient, strings.TrimSpace(atClient.String())); diff != "" {
		t.Error(diff)
	}
	if server.Streams()+client.Streams() != 0 {
		t.Error("streams are left")
	}
}
