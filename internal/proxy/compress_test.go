package proxy_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy"
	"windrose.dev/windrose/internal/proxy/filter/edge"
)

// compressing serves one rule that compresses, with the filters of the edge.
func compressing(t *testing.T, options string, script func(*peer)) *rig {
	t.Helper()
	r := newRig(t, withEdge)
	r.apply(rule(options, newBackend(t, script).addr))
	return r
}

func withEdge(cfg *proxy.Config) { cfg.Filters = edge.Table() }

// with is a request with more fields.
func with(fields ...string) string {
	return "GET / HTTP/1.1\r\nHost: a.example\r\n" + strings.Join(append(fields, ""), "\r\n") + "\r\n"
}

// answering is an answer with fields and a body of a known length.
func answering(body string, fields ...string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n%s", strings.Join(append(fields, ""), "\r\n"), len(body), body)
}

// decoder undoes a content coding.
func decoder(t *testing.T, coding string, r io.Reader) io.Reader {
	t.Helper()
	switch coding {
	case "gzip":
		z, err := gzip.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		return z
	case "br":
		return brotli.NewReader(r)
	case "zstd":
		z, err := zstd.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(z.Close)
		return z
	}
	return r
}

// content is the body of a message, without its chunks.
func content(t *testing.T, message string) string {
	t.Helper()
	_, rest, _ := strings.Cut(message, "\r\n\r\n")
	if fieldOf(message, "Transfer-Encoding") != "chunked" {
		return rest
	}
	var body strings.Builder
	for {
		size, after, _ := strings.Cut(rest, "\r\n")
		var n int
		if _, err := fmt.Sscanf(size, "%x", &n); err != nil || len(after) < n+2 {
			t.Fatalf("a chunk of size %q in %q", size, message)
		}
		if n == 0 {
			return body.String()
		}
		body.WriteString(after[:n])
		rest = after[n+2:]
	}
}

func uncompressed(t *testing.T, message string) string {
	t.Helper()
	body, err := io.ReadAll(decoder(t, fieldOf(message, "Content-Encoding"), strings.NewReader(content(t, message))))
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

var long = strings.Repeat("The wind rose shows every direction. ", 100)

// The head of an answer that is compressed says so (RFC 9110 §8.4, §8.8.1,
// §12.5.5, §14.3).
func TestCompress(t *testing.T) {
	r := compressing(t, "compress=zstd,br,gzip", always(answering(long,
		"Content-Type: text/html; charset=utf-8", `ETag: "x"`, "Accept-Ranges: bytes", "Vary: Origin", "Content-Encoding: identity")))
	c := r.dial()
	for accept, want := range map[string]string{
		"gzip": "gzip", "br": "br", "zstd": "zstd", "gzip, deflate, br, zstd": "zstd", "gzip, br;q=0.1": "gzip",
	} {
		for range 3 { // the encoder is used again
			c.send(with("Accept-Encoding: " + accept))
			got := c.answer("GET")
			if encoding := fieldOf(got, "Content-Encoding"); encoding != want || uncompressed(t, got) != long {
				t.Fatalf("%s: %s, want %s: %q", accept, encoding, want, got)
			}
			if len(content(t, got)) > len(long)/10 {
				t.Errorf("%s: %d bytes of %d", want, len(content(t, got)), len(long))
			}
			for name, value := range map[string]string{
				"ETag": `W/"x"`, "Vary": "Origin, Accept-Encoding", "Accept-Ranges": "", "Content-Length": "",
				"Content-Type": "text/html; charset=utf-8",
			} {
				if has := fieldOf(got, name); has != value {
					t.Errorf("%s: %s is %q, want %q", want, name, has, value)
				}
			}
		}
	}
}

// What is not compressed goes out as it came. Vary is added where it was only the
// client's field that decided.
func TestCompressLeavesAlone(t *testing.T) {
	const html, gzipped = "Content-Type: text/html", "Accept-Encoding: gzip"
	tests := []struct {
		name, options, request, answer, vary string
	}{
		{"no Accept-Encoding", "", with(), answering(long, html), "Accept-Encoding"},
		{"identity", "", with("Accept-Encoding: identity"), answering(long, html), "Accept-Encoding"},
		{"refused", "", with("Accept-Encoding: gzip;q=0"), answering(long, html, "Vary: accept-encoding"), "accept-encoding"},
		{"not on offer", "", with("Accept-Encoding: deflate"), answering(long, html, "Vary: *"), "*"},
		{"HEAD", "", strings.Replace(with(gzipped), "GET", "HEAD", 1), fmt.Sprintf("HTTP/1.1 200 OK\r\n%s\r\nContent-Length: %d\r\n\r\n", html, len(long)), "Accept-Encoding"},
		{"HTTP/1.0", "", strings.Replace(with(gzipped, "Connection: keep-alive"), "1.1", "1.0", 1), answering(long, html), "Accept-Encoding"},
		{"short", "", with(gzipped), answering(long[:255], html), ""},
		{"shorter than the rule has it", "compress-min=9999", with(gzipped), answering(long, html), ""},
		{"an image", "", with(gzipped), answering(long, "Content-Type: image/png"), ""},
		{"not of the rule's types", "compress-types=text/css", with(gzipped), answering(long, html), ""},
		{"no type", "compress-types=*", with(gzipped), answering(long), ""},
		{"events", "compress-types=*", with(gzipped), answering(long, "Content-Type: text/event-stream; x=y"), ""},
		{"gRPC-Web", "compress-types=*", with(gzipped), answering(long, "Content-Type: application/grpc-web+proto"), ""},
		{"encoded", "", with(gzipped), answering(long, html, "Content-Encoding: br"), ""},
		{"no-transform", "", with(gzipped), answering(long, html, "Cache-Control: public, No-Transform"), ""},
		{"no-transform for the client", "", with(gzipped, "Cache-Control: no-transform"), answering(long, html), ""},
		{"a part", "", with(gzipped), strings.Replace(answering(long, html, "Content-Range: bytes 0-3699/9999"), "200 OK", "206 Partial Content", 1), ""},
		{"a digest", "", with(gzipped), answering(long, html, "Repr-Digest: sha-256=:AA==:"), ""},
		{"an MD5", "", with(gzipped), answering(long, html, "Content-MD5: AA=="), ""},
		{"304", "", with(gzipped), "HTTP/1.1 304 Not Modified\r\n" + html + "\r\nETag: \"x\"\r\n\r\n", ""},
		{"204", "", with(gzipped), "HTTP/1.1 204 No Content\r\n" + html + "\r\n\r\n", ""},
		{"an upgrade that is not taken", "", with(gzipped, "Connection: Upgrade", "Upgrade: x"), answering(long, html), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := compressing(t, "compress=gzip "+tt.options, always(tt.answer))
			got := r.ask(tt.request)
			_, body, _ := strings.Cut(tt.answer, "\r\n\r\n")
			if content(t, got) != body || fieldOf(got, "Vary") != tt.vary {
				t.Errorf("%q", got)
			}
			for _, name := range []string{"Content-Encoding", "Content-Length", "ETag", "Content-MD5", "Repr-Digest"} {
				if was, is := fieldOf(tt.answer, name), fieldOf(got, name); was != is {
					t.Errorf("%s was %q and is %q", name, was, is)
				}
			}
		})
	}
}

func TestCompressMore(t *testing.T) {
	tests := []struct {
		name, options, request, answer, body string
	}{
		{"identity refused", "", with("Accept-Encoding: gzip, identity;q=0"), answering("short", "Content-Type: text/html"), "short"},
		{"any type", "compress-types=*", with("Accept-Encoding: gzip"), answering(long, "Content-Type: x/y"), long},
		{"from the first byte", "compress-min=1", with("Accept-Encoding: gzip"), answering("x", "Content-Type: text/css"), "x"},
		{"in two fields", "", with("Accept-Encoding: br", "Accept-Encoding: gzip"), answering(long, "Content-Type: text/css"), long},
		{"up to the end", "", with("Accept-Encoding: gzip"), "HTTP/1.1 404 Not Found\r\nContent-Type: text/css\r\nConnection: close\r\n\r\n" + long, long},
		{"chunks", "", with("Accept-Encoding: gzip"), "HTTP/1.1 200 OK\r\nContent-Type: text/css\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "abc"},
		{"an empty body", "", with("Accept-Encoding: gzip"), "HTTP/1.1 200 OK\r\nContent-Type: text/css\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ""},
		{"a field of the edit", "response-set=Content-Type:text/css", with("Accept-Encoding: gzip"), answering(long, "Content-Type: image/png"), long},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := compressing(t, "compress=gzip "+tt.options, func(p *peer) {
				if p.message() != "" {
					p.send(tt.answer)
					if strings.Contains(tt.answer, "close") {
						p.nc.Close()
					}
					p.message()
				}
			})
			got := r.ask(tt.request)
			if fieldOf(got, "Content-Encoding") != "gzip" || uncompressed(t, got) != tt.body || fieldOf(got, "Vary") != "Accept-Encoding" {
				t.Errorf("%q", got)
			}
		})
	}
}

// A body that comes in pieces goes out piece by piece, and its trailers behind
// it.
func TestCompressStreams(t *testing.T) {
	for _, coding := range model.ContentCodings() {
		t.Run(coding, func(t *testing.T) {
			next := make(chan string)
			r := compressing(t, "compress="+coding, func(p *peer) {
				p.message()
				p.send("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n")
				for piece := range next {
					p.send(fmt.Sprintf("%x\r\n%s\r\n", len(piece), piece))
				}
				p.send("0\r\nX-Sum: 1\r\n\r\n")
				p.message()
			})
			req, err := http.NewRequest("GET", "http://"+r.addr(80)+"/", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Accept-Encoding", coding)
			resp, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body := io.Reader(nil)
			for i := range 5 {
				piece := fmt.Sprintf("piece %d of a slow body\n", i)
				next <- piece
				if body == nil {
					body = decoder(t, resp.Header.Get("Content-Encoding"), resp.Body)
				}
				got := make([]byte, len(piece))
				if _, err := io.ReadFull(body, got); err != nil || string(got) != piece {
					t.Fatalf("%q %v, want %q", got, err, piece)
				}
			}
			close(next)
			if rest, err := io.ReadAll(body); err != nil || len(rest) > 0 {
				t.Errorf("%q %v", rest, err)
			}
			io.Copy(io.Discard, resp.Body)
			if resp.Trailer.Get("X-Sum") != "1" {
				t.Errorf("trailers %v", resp.Trailer)
			}
		})
	}
}

// document is a JSON as services answer it.
func document(size int) string {
	var b strings.Builder
	for i := 0; b.Len() < size; i++ {
		n := i * 2654435761 % (1 << 32)
		fmt.Fprintf(&b, `{"id":%d,"name":"%s %s","price":%d.%02d,"uuid":"%08x-%04x","active":%t},`,
			i, []string{"alpha", "bravo", "charlie", "delta"}[n%4], []string{"echo", "golf", "hotel"}[n%3], n%1000, n%100, n, i*40503%65536, n%7 < 3)
	}
	return b.String()
}

// A large body that comes fast loses little by being sent piece by piece, and is
// the same over HTTP/2. One that breaks off ends in an error, not as if whole.
func TestCompressLarge(t *testing.T) {
	body := document(1 << 20)
	alone := map[string]func(io.Writer) io.WriteCloser{
		"gzip": func(w io.Writer) io.WriteCloser { z, _ := gzip.NewWriterLevel(w, gzip.BestSpeed); return z },
		"br":   func(w io.Writer) io.WriteCloser { return brotli.NewWriterLevel(w, 4) },
		"zstd": func(w io.Writer) io.WriteCloser {
			z, _ := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest))
			return z
		},
	}
	r := compressing(t, "compress=zstd,br,gzip", always(answering(body, "Content-Type: application/json")))
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	for _, transport := range []*http.Transport{{}, {Protocols: &protocols}} {
		defer transport.CloseIdleConnections()
		for _, coding := range model.ContentCodings() {
			req, err := http.NewRequest("GET", "http://"+r.addr(80)+"/", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Accept-Encoding", coding)
			resp, err := transport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			encoded, err := io.ReadAll(resp.Body)
			if resp.Body.Close(); err != nil || resp.Header.Get("Content-Encoding") != coding {
				t.Fatal(err, resp.Header)
			}
			got, err := io.ReadAll(decoder(t, coding, bytes.NewReader(encoded)))
			if err != nil || string(got) != body {
				t.Fatalf("%s: %d bytes, %v", coding, len(got), err)
			}
			var whole bytes.Buffer
			w := alone[coding](&whole)
			io.WriteString(w, body)
			w.Close()
			t.Logf("%s, HTTP/%d: %.1f %%, in one piece %.1f %%", coding, resp.ProtoMajor, percent(len(encoded), len(body)), percent(whole.Len(), len(body)))
			if len(encoded) > whole.Len()*11/10 {
				t.Errorf("%s: %d bytes, in one piece %d", coding, len(encoded), whole.Len())
			}
		}
	}
}

func percent(part, of int) float64 { return float64(part) * 100 / float64(of) }

func TestCompressBrokenOff(t *testing.T) {
	r := compressing(t, "compress=gzip", func(p *peer) {
		p.message()
		p.send("HTTP/1.1 200 OK\r\nContent-Type: text/css\r\nContent-Length: 9999\r\n\r\n" + long)
		p.nc.Close()
	})
	got := r.ask(with("Accept-Encoding: gzip"))
	if statusOf(got) != 200 || strings.HasSuffix(got, "0\r\n\r\n") {
		t.Errorf("%q", got)
	}
	r.log.wait(t, "upstream_truncated")
}

// A proxy whose table has no compression serves the rule without.
func TestCompressIsOptional(t *testing.T) {
	r, _ := serve(t, "compress=gzip", always(answering(long, "Content-Type: text/html")))
	if got := r.ask(with("Accept-Encoding: gzip")); statusOf(got) != 200 || content(t, got) != long {
		t.Errorf("%q", got)
	}
}

// A rule that compresses costs a client nothing who asks for none, and one who
// does next to nothing.
func TestAllocationsOfCompression(t *testing.T) {
	b := newBackend(t, always(answering(strings.Repeat("x", 512), "Content-Type: text/html", `ETag: "x"`, "Vary: Origin")))
	s, err := model.Parse(rule("compress=zstd,br,gzip", b.addr))
	if err != nil {
		t.Fatal(err)
	}
	c := newChild(t, s)
	dial := func() (net.Conn, error) { return net.Dial("tcp", c.plain) }
	c.judge("not asked for", dial)
	for _, coding := range model.ContentCodings() {
		c.fields = "Accept-Encoding: " + coding + "\r\n"
		c.judge(coding, dial)
	}
}
