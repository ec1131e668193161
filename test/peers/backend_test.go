//go:build peers

package peers

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"windrose.dev/windrose/bench/rig"
)

const (
	largeSize = 50 << 20
	uploadLen = 5 << 20
)

// origin is an nginx with static files, uploads and a form that responds with what was
// sent to it.
type origin struct {
	address string
	root    string
	large   []byte
	text    []byte
}

const originConfig = `
	sendfile on;
	tcp_nopush on;
	server {
		listen %[1]s;
		root %[2]s;
		client_max_body_size 100m;
		add_header X-Connection $connection always;
		add_header X-Connection-Requests $connection_requests always;
		location /upload/ { dav_methods PUT DELETE; create_full_put_path on; }
		location /zipped/ { alias %[2]s/; gzip on; gzip_types *; gzip_min_length 0; }
		location /form { proxy_pass http://%[1]s/say; proxy_set_header X-Say $request_body; }
		location /say { default_type text/plain; return 200 $http_x_say; }
		location = /empty { return 204; }
		location /gone { return 410 "gone\n"; }
	}`

func startOrigin(t *testing.T, r *rig.Rig) *origin {
	t.Helper()
	o := &origin{address: ports(t, 1)[0], root: filepath.Join(r.Dir, "root"), large: pattern(largeSize), text: pattern(20_000)}
	for name, content := range map[string][]byte{"large.bin": o.large, "text.txt": o.text, "empty.txt": nil} {
		must[string](t)(r.File("root/"+name, content))
	}
	startNginx(t, r, fmt.Sprintf(originConfig, o.address, o.root), o.address)
	return o
}

// TestNginxBehind tests an nginx behind the gateway, with clients in plain text and over
// TLS.
func TestNginxBehind(t *testing.T) {
	r := newRig(t)
	o := startOrigin(t, r)
	g := startGateway(t, r, o.address)
	for _, c := range []struct {
		name string
		test func(*testing.T, *gateway, *origin)
	}{
		{"connections are reused", testReuse},
		{"large file", testLarge},
		{"HEAD", testHead},
		{"ranges", testRanges},
		{"not modified", testNotModified},
		{"gzip in chunks", testGzip},
		{"no content", testNoContent},
		{"errors pass", testErrorsPass},
		{"PUT with a length", testPutLength},
		{"PUT in chunks", testPutChunks},
		{"100-continue", testContinue},
		{"POST", testPost},
		{"pipelined", testPipelined},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, g, o) })
	}
}

func testReuse(t *testing.T, g *gateway, _ *origin) {
	client := dial(t, g.plain)
	connection := ""
	for i := range 20 {
		answer := must[rig.Answer](t)(client.Get("/text.txt"))
		if got := answer.Header.Get("X-Connection"); i > 0 && got != connection {
			t.Fatalf("request %d came over connection %s, the one before over %s", i, got, connection)
		} else {
			connection = got
		}
	}
}

func testLarge(t *testing.T, g *gateway, o *origin) {
	sameBytes(t, "plain", get(t, g.plain, "/large.bin").Body, o.large)
	client := rig.NewRaw(dialTLS(t, g, nil), "shop.example.com")
	sameBytes(t, "TLS", must[rig.Answer](t)(client.Get("/large.bin")).Body, o.large)
}

func testHead(t *testing.T, g *gateway, _ *origin) {
	client := dial(t, g.plain)
	for range 3 { // an unexpected body would be read as the next head
		answer := must[rig.Answer](t)(client.Do("HEAD", "/large.bin", "", ""))
		if length := answer.Header.Get("Content-Length"); answer.Status != 200 || length != fmt.Sprint(largeSize) || len(answer.Body) > 0 {
			t.Fatalf("status %d, Content-Length %s, %d bytes", answer.Status, length, len(answer.Body))
		}
	}
}

func testRanges(t *testing.T, g *gateway, o *origin) {
	client := dial(t, g.plain)
	answer := must[rig.Answer](t)(client.Do("GET", "/large.bin", "Range: bytes=1000000-1999999\r\n", ""))
	if answer.Status != 206 {
		t.Errorf("status %d", answer.Status)
	}
	sameBytes(t, "one range", answer.Body, o.large[1_000_000:2_000_000])
	answer = must[rig.Answer](t)(client.Do("GET", "/text.txt", "Range: bytes=0-9,100-109\r\n", ""))
	kind := answer.Header.Get("Content-Type")
	if !strings.HasPrefix(kind, "multipart/byteranges") || !bytes.Contains(answer.Body, o.text[100:110]) {
		t.Errorf("two ranges: %s, %q", kind, answer.Body)
	}
	answer = must[rig.Answer](t)(client.Do("GET", "/text.txt", "Range: bytes=99999999-\r\n", ""))
	if answer.Status != 416 {
		t.Errorf("a range beyond the end: status %d", answer.Status)
	}
}

func testNotModified(t *testing.T, g *gateway, o *origin) {
	client := dial(t, g.plain)
	first := must[rig.Answer](t)(client.Get("/text.txt"))
	for range 3 {
		answer := must[rig.Answer](t)(client.Do("GET", "/text.txt", "If-None-Match: "+first.Header.Get("Etag")+"\r\n", ""))
		if answer.Status != 304 || len(answer.Body) > 0 {
			t.Fatalf("status %d with %d bytes", answer.Status, len(answer.Body))
		}
	}
	sameBytes(t, "on the same connection", must[rig.Answer](t)(client.Get("/text.txt")).Body, o.text)
}

func testGzip(t *testing.T, g *gateway, o *origin) {
	answer := must[rig.Answer](t)(dial(t, g.plain).Do("GET", "/zipped/text.txt", "Accept-Encoding: gzip\r\n", ""))
	if got := answer.Header.Get("Content-Encoding"); got != "gzip" {
		t.Fatalf("Content-Encoding is %q", got)
	}
	unzip := must[*gzip.Reader](t)(gzip.NewReader(bytes.NewReader(answer.Body)))
	sameBytes(t, "unzipped", must[[]byte](t)(io.ReadAll(unzip)), o.text)
}

func testNoContent(t *testing.T, g *gateway, _ *origin) {
	client := dial(t, g.plain)
	for _, c := range []struct {
		target string
		status int
	}{{"/empty", 204}, {"/empty.txt", 200}, {"/empty", 204}} {
		if answer := must[rig.Answer](t)(client.Get(c.target)); answer.Status != c.status || len(answer.Body) > 0 {
			t.Errorf("%s: status %d with %d bytes", c.target, answer.Status, len(answer.Body))
		}
	}
}

func testErrorsPass(t *testing.T, g *gateway, _ *origin) {
	if answer := get(t, g.plain, "/gone"); answer.Status != 410 || string(answer.Body) != "gone\n" {
		t.Errorf("status %d, %q", answer.Status, answer.Body)
	}
	if answer := get(t, g.plain, "/nowhere"); answer.Status != 404 || !bytes.Contains(answer.Body, []byte("nginx")) {
		t.Errorf("status %d, %q", answer.Status, answer.Body)
	}
}

// stored compares what the origin has stored with what was sent.
func stored(t *testing.T, o *origin, name string, want []byte) {
	t.Helper()
	got := must[[]byte](t)(os.ReadFile(filepath.Join(o.root, "upload", name)))
	if sha256.Sum256(got) != sha256.Sum256(want) {
		t.Errorf("%s: %d bytes are stored, %d were sent; or their content differs", name, len(got), len(want))
	}
}

func testPutLength(t *testing.T, g *gateway, o *origin) {
	body := pattern(uploadLen)
	client := dial(t, g.plain)
	for i := range 3 {
		name := fmt.Sprintf("length-%d", i)
		answer := must[rig.Answer](t)(client.Do("PUT", "/upload/"+name, fmt.Sprintf("Content-Length: %d\r\n", len(body)), string(body)))
		if answer.Status != 201 {
			t.Fatalf("status %d", answer.Status)
		}
		stored(t, o, name, body)
	}
}

// inChunks encodes a body in chunks of odd sizes.
func inChunks(body []byte) string {
	var framed strings.Builder
	for size := 1; len(body) > 0; size = min(size*3+1, 70_001) {
		n := min(size, len(body))
		fmt.Fprintf(&framed, "%x\r\n%s\r\n", n, body[:n])
		body = body[n:]
	}
	framed.WriteString("0\r\n\r\n")
	return framed.String()
}

func testPutChunks(t *testing.T, g *gateway, o *origin) {
	body := pattern(uploadLen)
	client := dial(t, g.plain)
	answer := must[rig.Answer](t)(client.Do("PUT", "/upload/chunked", "Transfer-Encoding: chunked\r\n", inChunks(body)))
	if answer.Status != 201 {
		t.Fatalf("status %d", answer.Status)
	}
	stored(t, o, "chunked", body)
	if answer := must[rig.Answer](t)(client.Get("/upload/chunked")); answer.Status != 200 {
		t.Errorf("status %d", answer.Status)
	}
}

// testContinue sends the body only after the response 100.
func testContinue(t *testing.T, g *gateway, o *origin) {
	body := pattern(100_000)
	client := dial(t, g.plain)
	fmt.Fprintf(client.Conn, "PUT /upload/continue HTTP/1.1\r\nHost: shop.example.com\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", len(body))
	line := must[string](t)(client.In().ReadString('\n'))
	if !strings.HasPrefix(line, "HTTP/1.1 100 ") {
		t.Fatalf("the first answer is %q", line)
	}
	must[string](t)(client.In().ReadString('\n'))
	must[int](t)(client.Conn.Write(body))
	if answer := must[rig.Answer](t)(client.Read("PUT")); answer.Status != 201 {
		t.Fatalf("status %d", answer.Status)
	}
	stored(t, o, "continue", body)
}

func testPost(t *testing.T, g *gateway, _ *origin) {
	client := dial(t, g.plain)
	for i := range 50 {
		want := fmt.Sprintf("message number %d", i)
		if answer := must[rig.Answer](t)(client.Post("/form", want)); answer.Status != 200 || string(answer.Body) != want {
			t.Fatalf("status %d, %q", answer.Status, answer.Body)
		}
	}
}

func testPipelined(t *testing.T, g *gateway, _ *origin) {
	client := dial(t, g.plain)
	const n = 50
	var requests strings.Builder
	for i := range n {
		body := fmt.Sprintf("message %d", i)
		fmt.Fprintf(&requests, "POST /form HTTP/1.1\r\nHost: shop.example.com\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}
	must[int](t)(io.WriteString(client.Conn, requests.String()))
	for i := range n {
		if answer := must[rig.Answer](t)(client.Read("POST")); string(answer.Body) != fmt.Sprintf("message %d", i) {
			t.Fatalf("answer %d is %q", i, answer.Body)
		}
	}
}

// TestHaproxyBehind tests a HAProxy behind the gateway; the HAProxy closes each
// connection after some requests.
func TestHaproxyBehind(t *testing.T) {
	r := newRig(t)
	address := ports(t, 1)[0]
	startHaproxy(t, r, fmt.Sprintf(`
frontend answers
	bind %s
	http-request return status 200 content-type text/plain lf-string "%%[method] %%[path] %%[req.hdr(x-real-ip)]" if !{ path /close }
	http-request return status 200 content-type text/plain string closed hdr connection close
`, address), address)
	g := startGateway(t, r, address)
	client := dial(t, g.plain)
	for i := range 200 {
		target := fmt.Sprintf("/page/%d", i)
		answer := must[rig.Answer](t)(client.Get(target))
		if want := "GET " + target + " 127.0.0.1"; answer.Status != 200 || string(answer.Body) != want {
			t.Fatalf("status %d, %q, want %q", answer.Status, answer.Body, want)
		}
		if answer := must[rig.Answer](t)(client.Post("/close", "x")); answer.Status != 200 || answer.Close {
			t.Fatalf("status %d; closes: %t", answer.Status, answer.Close)
		}
	}
}
