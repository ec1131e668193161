//go:build peers

package peers

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"windrose.dev/windrose/internal/model"
)

// tell responds with a line that describes the request, or with the number of bytes that
// the query asks for.
func tell(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client is gone
	}
	if n, err := strconv.Atoi(r.URL.RawQuery); err == nil {
		w.Write(pattern(n))
		return
	}
	fmt.Fprintf(w, "%s %s %s trailer=%s\n", r.Method, r.URL.Path, digest(body), r.Trailer.Get("X-Sum"))
}

// digest returns the length and a hash of b.
func digest(b []byte) string { return fmt.Sprintf("%d:%x", len(b), sha256.Sum256(b))[:20] }

// startTelling serves tell over HTTP/1.1 and, with prior knowledge, HTTP/2.
func startTelling(t *testing.T) string {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(tell))
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// TestNghttp sends requests with nghttp, which uses rare features: padding, priorities,
// trailers, and windows of a few bytes.
func TestNghttp(t *testing.T) {
	r := newRig(t)
	backend := startTelling(t)
	small, large := pattern(100), pattern(1_000_000)
	smallFile := must[string](t)(r.File("small.bin", small))
	largeFile := must[string](t)(r.File("large.bin", large))
	down := string(pattern(300_000))
	cases := []struct {
		name  string
		args  []string
		paths []string
		want  []string // the expected lines, each as often as requested
		times int
	}{
		{"one URL", nil, []string{"/a"}, []string{"GET /a " + digest(nil) + " trailer=\n"}, 1},
		{"several URLs", nil, []string{"/a", "/b/", "/c?d"}, []string{"GET /a ", "GET /b/ ", "GET /c "}, 1},
		{"many at once", []string{"-m50"}, []string{"/a", "/b"}, []string{"GET /a ", "GET /b "}, 50},
		{"priorities", []string{"-p1", "-p256"}, []string{"/a", "/b"}, []string{"GET /a ", "GET /b "}, 1},
		{"no priorities", []string{"--no-dep"}, []string{"/a", "/b"}, []string{"GET /a ", "GET /b "}, 1},
		{"upload", []string{"-d", largeFile}, []string{"/up"}, []string{"POST /up " + digest(large) + " trailer=\n"}, 1},
		{"uploads", []string{"-d", largeFile, "-m8"}, []string{"/up"}, []string{"POST /up " + digest(large) + " trailer=\n"}, 8},
		{"upload that waits", []string{"-d", smallFile, "--expect-continue"}, []string{"/up"}, []string{"POST /up " + digest(small)}, 1},
		{"upload without length", []string{"-d", largeFile, "--no-content-length"}, []string{"/up"}, []string{"POST /up " + digest(large)}, 1},
		{"trailers", []string{"-d", smallFile, "--trailer", "x-sum: 42", "--no-content-length"}, []string{"/up"}, []string{"POST /up " + digest(small) + " trailer=42\n"}, 1},
		// With a length, HTTP/1.1 cannot carry trailers.
		{"trailers and a length", []string{"-d", smallFile, "--trailer", "x-sum: 42"}, []string{"/up"}, []string{"POST /up " + digest(small)}, 1},
		{"trailers of a large upload", []string{"-d", largeFile, "--trailer", "x-sum: 42", "--no-content-length"}, []string{"/up"}, []string{"POST /up " + digest(large) + " trailer=42\n"}, 1},
		{"padding", []string{"-b255", "-d", largeFile}, []string{"/up"}, []string{"POST /up " + digest(large)}, 1},
		{"small windows", []string{"-w8", "-W20"}, []string{"/?300000"}, []string{down}, 1},
		{"windows of a few bytes", []string{"-w1"}, []string{"/a"}, []string{"GET /a "}, 1},
		{"downloads in small windows", []string{"-w12", "-m4"}, []string{"/?300000"}, []string{down[300_000-50:]}, 4},
		{"a small table", []string{"-c0", "-m4"}, []string{"/a", "/b"}, []string{"GET /a ", "GET /b "}, 4},
		{"a large head", []string{"--continuation"}, []string{"/a"}, []string{"GET /a "}, 1},
	}
	for name, protocol := range map[string]model.BackendProtocol{"HTTP1 behind": model.HTTP1, "HTTP2 behind": model.HTTP2} {
		g := startGatewayTo(t, r, protocol, backend, "--max-header-bytes", "100000")
		for _, base := range []string{"https://" + g.secure, "http://" + g.plain} {
			for _, c := range cases {
				scheme, _, _ := strings.Cut(base, ":")
				t.Run(name+"/"+scheme+"/"+c.name, func(t *testing.T) {
					args := append([]string{"-y", "-t", "20s", "-H", ":authority: shop.example.com"}, c.args...)
					for _, path := range c.paths {
						args = append(args, base+path)
					}
					out := command(t, "nghttp", args...)
					for _, want := range c.want {
						if n := strings.Count(out, want); n != c.times {
							t.Errorf("%.50q is printed %d times, and not %d:\n%.1000s", want, n, c.times, out)
						}
					}
				})
			}
		}
	}
}

// TestH2load uses many streams of many connections at once, with and without bodies; none
// may fail.
func TestH2load(t *testing.T) {
	r := newRig(t)
	body := must[string](t)(r.File("body.bin", pattern(20_000)))
	backend := startTelling(t)
	for name, protocol := range map[string]model.BackendProtocol{"HTTP1 behind": model.HTTP1, "HTTP2 behind": model.HTTP2} {
		g := startGatewayTo(t, r, protocol, backend)
		for _, c := range []struct {
			name string
			args []string
			path string
		}{
			{"small answers", nil, "/a"},
			{"large answers", nil, "/?200000"},
			{"small windows", []string{"-w10", "-W14"}, "/?20000"},
			{"uploads", []string{"-d", body}, "/up"},
		} {
			t.Run(name+"/"+c.name, func(t *testing.T) {
				const requests = 20_000
				args := append([]string{"-t1", "-c8", "-m100", "-n", strconv.Itoa(requests)}, c.args...)
				out := command(t, "h2load", append(args, "https://"+g.secure+c.path)...)
				if !strings.Contains(out, fmt.Sprintf("%d succeeded, 0 failed, 0 errored, 0 timeout", requests)) {
					t.Errorf("h2load prints\n%s", out)
				}
			})
		}
		if n := metric(t, g.admin, "windrose_requests_total", `class="5xx"`); n > 0 {
			t.Errorf("%g requests were answered with 5xx", n)
		}
	}
}
