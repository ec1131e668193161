package http1

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"windrose.dev/windrose/internal/proxy/msg"
)

var testLimits = msg.Limits{HeadBytes: 4096, TargetBytes: 1024, Fields: 20}

// parseRequest parses text in pieces of the given size.
func parseRequest(text string, piece int) (*msg.Head, int, error) {
	h := &msg.Head{}
	var p Parser
	for end := min(piece, len(text)); ; end = min(end+piece, len(text)) {
		n, err := p.Request(h, []byte(text[:end]), &testLimits)
		if n > 0 || err != nil || end == len(text) {
			return h, n, err
		}
	}
}

func TestRequestHeads(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		want       error
	}{
		{"plain", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", nil},
		{"one leading CRLF", "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", nil},
		{"no space after colon", "GET / HTTP/1.1\r\nHost:a\r\n\r\n", nil},
		{"tab in value", "GET / HTTP/1.1\r\nHost: a\r\nA: b\tc\r\n\r\n", nil},
		{"obs-text in value", "GET / HTTP/1.1\r\nHost: a\r\nA: \xc3\xa9\r\n\r\n", nil},
		{"empty value", "GET / HTTP/1.1\r\nHost: a\r\nA:\r\n\r\n", nil},
		{"bare LF line", "GET / HTTP/1.1\nHost: a\r\n\r\n", ErrBareLF},
		{"bare LF field", "GET / HTTP/1.1\r\nHost: a\n\r\n", ErrBareLF},
		{"bare LF at the end", "GET / HTTP/1.1\r\nHost: a\r\n\n", ErrBareLF},
		{"bare CR in value", "GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", ErrBareCR},
		{"CR CR LF", "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", ErrBareCR},
		{"NUL in value", "GET / HTTP/1.1\r\nHost: a\r\nA: b\x00\r\n\r\n", ErrFieldValue},
		{"folding", "GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", ErrFolding},
		{"folding with tab", "GET / HTTP/1.1\r\n\tHost: a\r\n\r\n", ErrFolding},
		{"space before colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", ErrFieldName},
		{"no colon", "GET / HTTP/1.1\r\nHost\r\n\r\n", ErrFieldName},
		{"empty name", "GET / HTTP/1.1\r\n: a\r\n\r\n", ErrFieldName},
		{"name not a token", "GET / HTTP/1.1\r\nA(: a\r\n\r\n", ErrFieldName},
		{"two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", ErrHostCount},
		{"two spaces", "GET  / HTTP/1.1\r\n\r\n", ErrTarget},
		{"space in target", "GET /a b HTTP/1.1\r\n\r\n", ErrTarget},
		{"no target", "GET HTTP/1.1\r\n\r\n", ErrRequestLine},
		{"0.9", "GET /\r\n\r\n", ErrRequestLine},
		{"leading space", " GET / HTTP/1.1\r\n\r\n", ErrRequestLine},
		{"method not a token", "G@T / HTTP/1.1\r\n\r\n", ErrMethod},
		{"non-ASCII target", "GET /\xc3\xa9 HTTP/1.1\r\n\r\n", ErrTarget},
		{"DEL in target", "GET /\x7f HTTP/1.1\r\n\r\n", ErrTarget},
		{"version 2", "GET / HTTP/2.0\r\n\r\n", ErrVersion},
		{"version 1.2", "GET / HTTP/1.2\r\n\r\n", ErrVersion},
		{"lower-case version", "GET / http/1.1\r\n\r\n", ErrRequestLine},
		{"long target", "GET /" + strings.Repeat("a", 1024) + " HTTP/1.1\r\n\r\n", msg.ErrTargetTooLong},
		{"endless target", strings.Repeat("a", 3000), msg.ErrTargetTooLong},
		{"long head", "GET / HTTP/1.1\r\nHost: a\r\nA: " + strings.Repeat("a", 4096) + "\r\n\r\n", msg.ErrHeadTooLong},
		{"many fields", "GET / HTTP/1.1\r\n" + strings.Repeat("A: b\r\n", 21) + "\r\n", msg.ErrTooManyFields},
	} {
		for _, piece := range []int{1, 3, 1 << 20} {
			h, n, err := parseRequest(tc.text, piece)
			if !errors.Is(err, tc.want) || tc.want != nil && err == nil {
				t.Errorf("%s in pieces of %d: got %v, want %v", tc.name, piece, err, tc.want)
			}
			if tc.want == nil && (n != len(tc.text) || string(h.Bytes(h.Method)) != "GET") {
				t.Errorf("%s in pieces of %d: %d of %d bytes", tc.name, piece, n, len(tc.text))
			}
		}
	}
}

func TestFraming(t *testing.T) {
	for _, tc := range []struct {
		fields string
		kind   Kind
		length int64
		want   error
	}{
		{"", NoBody, 0, nil},
		{"Content-Length: 0\r\n", NoBody, 0, nil},
		{"Content-Length: 5\r\n", Length, 5, nil},
		{"Transfer-Encoding: chunked\r\n", Chunked, 0, nil},
		{"Transfer-Encoding: Chunked\r\n", Chunked, 0, nil},
		{"Content-Length: 5\r\nContent-Length: 5\r\n", 0, 0, ErrLengthTwice},
		{"Content-Length: 5, 5\r\n", 0, 0, ErrLengthValue},
		{"Content-Length: +5\r\n", 0, 0, ErrLengthValue},
		{"Content-Length: -1\r\n", 0, 0, ErrLengthValue},
		{"Content-Length: 0x5\r\n", 0, 0, ErrLengthValue},
		{"Content-Length:\r\n", 0, 0, ErrLengthValue},
		{"Content-Length: 99999999999999999999\r\n", 0, 0, ErrLengthValue},
		{"Content-Length: 9223372036854775807\r\n", 0, 0, ErrLengthValue},
		{"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 0, 0, ErrLengthAndTE},
		{"Transfer-Encoding: identity\r\n", 0, 0, ErrTransferCoding},
		{"Transfer-Encoding: gzip, chunked\r\n", 0, 0, ErrTransferCoding},
		{"Transfer-Encoding: xchunked\r\n", 0, 0, ErrTransferCoding},
		{"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 0, 0, ErrCodingTwice},
		{"Transfer-Encoding: \x0bchunked\r\n", 0, 0, ErrFieldValue},
		{"Transfer-Encoding:\r\n", 0, 0, ErrTransferCoding},
	} {
		h, _, err := parseRequest("POST / HTTP/1.1\r\nHost: a\r\n"+tc.fields+"\r\n", 1<<20)
		var kind Kind
		var length int64
		if err == nil {
			kind, length, err = RequestFraming(h)
		}
		if kind != tc.kind || length != tc.length || !errors.Is(err, tc.want) {
			t.Errorf("%q: got %d %d %v", tc.fields, kind, length, err)
		}
	}
	if h, _, _ := parseRequest("GET / HTTP/1.1\r\nA: b\r\n\r\n", 99); h != nil {
		if _, _, err := RequestFraming(h); err != ErrHostCount {
			t.Errorf("no host: %v", err)
		}
	}
	if h, _, _ := parseRequest("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 99); h != nil {
		if _, _, err := RequestFraming(h); err != ErrCoding10 {
			t.Errorf("chunked in 1.0: %v", err)
		}
	}
}

func parseResponse(t *testing.T, text string) (*msg.Head, error) {
	t.Helper()
	h := &msg.Head{}
	var p Parser
	_, err := p.Response(h, []byte(text), &testLimits)
	return h, err
}

func TestResponses(t *testing.T) {
	for _, tc := range []struct {
		method, text string
		kind         Kind
		want         error
	}{
		{"GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Length, nil},
		{"GET", "HTTP/1.1 200 \r\n\r\n", UntilClose, nil},
		{"GET", "HTTP/1.1 200\r\n\r\n", UntilClose, nil},
		{"GET", "HTTP/1.0 200 OK\r\n\r\n", UntilClose, nil},
		{"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", NoBody, nil},
		{"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", NoBody, nil},
		{"GET", "HTTP/1.1 204 No Content\r\n\r\n", NoBody, nil},
		{"GET", "HTTP/1.1 100 Continue\r\n\r\n", NoBody, nil},
		{"GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 0, ErrLengthAndTE},
		{"GET", "HTTP/1.1 2000 OK\r\n\r\n", 0, ErrStatusLine},
		{"GET", "HTTP/1.1 abc OK\r\n\r\n", 0, ErrStatusLine},
		{"GET", "HTTP/1.1 999 OK\r\n\r\n", 0, ErrStatusLine},
		{"GET", "ICY 200 OK\r\n\r\n", 0, ErrStatusLine},
		{"GET", "HTTP/1.1 200 O\x01K\r\n\r\n", 0, ErrStatusLine},
	} {
		h, err := parseResponse(t, tc.text)
		var kind Kind
		if err == nil {
			kind, _, err = ResponseFraming(h, []byte(tc.method))
		}
		if kind != tc.kind || !errors.Is(err, tc.want) {
			t.Errorf("%s %q: got %d %v", tc.method, tc.text, kind, err)
		}
	}
}

func TestKeepAliveAndUpgrade(t *testing.T) {
	for text, want := range map[string]struct {
		alive   bool
		upgrade string
	}{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n":                                                          {true, ""},
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n":                                     {false, ""},
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: x\r\nConnection: Close\r\n\r\n":                    {false, ""},
		"GET / HTTP/1.0\r\n\r\n":                                                                     {false, ""},
		"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n":                                           {true, ""},
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n": {true, "websocket"},
		"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n":                                    {true, ""},
	} {
		h, _, err := parseRequest(text, 1<<20)
		if err != nil || KeepsAlive(h) != want.alive || string(UpgradeOf(h)) != want.upgrade {
			t.Errorf("%q: %v alive=%t upgrade=%q", text, err, KeepsAlive(h), UpgradeOf(h))
		}
	}
}

func TestHopByHop(t *testing.T) {
	h, _, err := parseRequest("GET /x HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-Gone, host, content-length, X-Real-IP\r\n"+
		"X-Gone: 1\r\nKeep-Alive: 5\r\nX-Kept: 2\r\nTE: trailers\r\nX-Real-IP: 6.6.6.6\r\nContent_Length: 9\r\nX-Last: 3\r\n\r\n", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	DropHopByHop(h)
	h.Add(msg.OtherField, "X-New", []byte("n"))
	h.Add(msg.OtherField, "X-New", []byte("m"))
	got := AppendRequest(nil, h, []byte("/y?z"))
	want := "GET /y?z HTTP/1.1\r\nHost: a\r\nX-Kept: 2\r\nX-Real-IP: 6.6.6.6\r\nX-Last: 3\r\nX-New: n\r\nX-New: m\r\n\r\n"
	if string(got) != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestTargets(t *testing.T) {
	for _, tc := range []struct {
		method, target, authority, path, query string
		want                                   error
	}{
		{"GET", "/a?b", "", "/a", "b", nil},
		{"GET", "/a?b?c", "", "/a", "b?c", nil},
		{"OPTIONS", "*", "", "*", "", nil},
		{"GET", "*", "", "", "", ErrTarget},
		{"GET", "http://h:8/p?q", "h:8", "/p", "q", nil},
		{"GET", "HTTPS://h", "h", "/", "", nil},
		{"GET", "http://h?q", "h", "/", "q", nil},
		{"GET", "http:///p", "", "", "", ErrTarget},
		{"GET", "ftp://h/", "", "", "", ErrTarget},
		{"GET", "a/b", "", "", "", ErrTarget},
		{"CONNECT", "h:443", "", "", "", ErrConnect},
	} {
		got, err := SplitTarget([]byte(tc.method), []byte(tc.target))
		if !errors.Is(err, tc.want) || string(got.Authority) != tc.authority || string(got.Path) != tc.path || string(got.Query) != tc.query {
			t.Errorf("%s %s: %q %q %q %v", tc.method, tc.target, got.Authority, got.Path, got.Query, err)
		}
	}
}

func TestHostNames(t *testing.T) {
	for value, want := range map[string]string{
		"a.example": "a.example", "A.Example:80": "a.example", "a.": "a", "[::1]:8080": "[::1]", "1.2.3.4": "1.2.3.4",
		"": "", ":80": "", "a b": "", "a/b": "", "a@b": "", "a:b": "", "a:999999": "", "[::1": "", "[::1]x": "", "a,b": "",
	} {
		got, err := HostName([]byte(value), nil)
		if string(got) != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q %v", value, got, err)
		}
	}
}

func FuzzRequest(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"), 1)
	f.Add([]byte("\r\nPOST http://a/b?c HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), 7)
	f.Fuzz(func(t *testing.T, data []byte, piece int) {
		whole := &msg.Head{}
		var p Parser
		n, err := p.Request(whole, data, &testLimits)
		pieces, m, errPieces := parseRequest(string(data), max(1, piece))
		if len(data) > 0 && (n != m || !errors.Is(err, errPieces)) {
			t.Fatalf("at once %d %v, in pieces %d %v", n, err, m, errPieces)
		}
		if err != nil || n == 0 {
			return
		}
		if _, _, err := RequestFraming(whole); err != nil {
			return
		}
		written := AppendRequest(nil, whole, whole.Bytes(whole.Target))
		again := &msg.Head{}
		var q Parser
		k, err := q.Request(again, written, &msg.Limits{HeadBytes: 1 << 20, TargetBytes: 1 << 20, Fields: 1000})
		if err != nil || k != len(written) || len(again.Fields) != len(pieces.Fields) {
			t.Fatalf("what was written does not read back: %v %q", err, written)
		}
		if bytes.Contains(written, []byte("\r\r")) || bytes.ContainsRune(written, 0) {
			t.Fatalf("wrote %q", written)
		}
	})
}
