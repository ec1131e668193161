//go:build peers

package peers

import (
	"context"
	"crypto/tls"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"windrose.dev/windrose/bench/rig"
)

// command runs a program to its end and returns what it prints.
func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	path := must[string](t)(rig.Tool(name))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestCurl sends requests with curl, over each version of HTTP and TLS that we support.
func TestCurl(t *testing.T) {
	r := newRig(t)
	g := startGateway(t, r, startEcho(t))
	plain, secure := "http://shop.example.com"+portOf(g.plain), "https://shop.example.com"+portOf(g.secure)
	for _, c := range []struct {
		name string
		args []string
		want string // a regular expression
	}{
		{"HTTP/1.0", []string{"--http1.0", plain + "/a"}, `(?s)^HTTP/1\.[01] 200 .*[Cc]onnection: close.*"path": "/a"`},
		{"HTTP/1.0 keep-alive", []string{"--http1.0", "-H", "Connection: keep-alive", plain + "/a"}, `(?s)^HTTP/1\.[01] 200 .*[Cc]onnection: keep-alive`},
		{"HTTP/1.1", []string{"--http1.1", plain + "/a?b=%2F"}, `(?s)^HTTP/1\.1 200 .*"path": "/a\?b=%2F"`},
		{"two requests", []string{"--http1.1", plain + "/one", plain + "/two"}, `(?s)"path": "/one".*"path": "/two"`},
		{"HTTP/2", []string{"--http2", secure + "/a"}, `(?s)^HTTP/2 200 `},
		{"HTTP/2 with prior knowledge", []string{"--http2-prior-knowledge", plain + "/a"}, `(?s)^HTTP/2 200 `},
		{"h2c is not accepted", []string{"--http2", plain + "/a"}, `(?s)^HTTP/1\.1 200 `},
		{"TLS 1.2", []string{"--tls-max", "1.2", secure + "/a"}, `(?s)^HTTP/2 200 .*"X-Forwarded-Proto": \[\s*"https"`},
		{"TLS 1.3", []string{"--tlsv1.3", secure + "/a"}, `(?s)^HTTP/2 200 .*"X-Forwarded-Proto": \[\s*"https"`},
		{"POST", []string{"-d", "a=b", secure + "/form"}, `(?s)^HTTP/2 200 .*"method": "POST"`},
		{"POST in chunks", []string{"-H", "Transfer-Encoding: chunked", "-d", "a=b", plain + "/form"}, `(?s)^HTTP/1\.1 200 .*"method": "POST"`},
		{"expects 100", []string{"-H", "Expect: 100-continue", "-d", "a=b", plain + "/form"}, `(?s)^HTTP/1\.1 100 Continue.*HTTP/1\.1 200 `},
		{"HEAD", []string{"-I", plain + "/a"}, `^HTTP/1\.1 200 `},
		{"bytes", []string{"-r", "0-9", plain + "/a?bytes=100000"}, `^HTTP/1\.1 200 `},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := append([]string{
				"-sS", "-i", "--noproxy", "*", "--cacert", g.cert.ChainFile,
				"--connect-to", "shop.example.com::127.0.0.1:",
			}, c.args...)
			if out := command(t, "curl", args...); !regexp.MustCompile(c.want).MatchString(out) {
				t.Errorf("curl prints\n%s\nwhich does not match %s", out, c.want)
			}
		})
	}
}

func portOf(address string) string { return address[strings.LastIndexByte(address, ':'):] }

// TestOldTLSIsRefused tries TLS versions below 1.2.
func TestOldTLSIsRefused(t *testing.T) {
	r := newRig(t)
	g := startGateway(t, r, startEcho(t))
	config := clientTLS(g)
	config.MinVersion, config.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	if conn, err := tls.Dial("tcp", g.secure, config); err == nil {
		conn.Close()
		t.Error("a handshake of TLS 1.1 succeeded")
	}
	if n := metric(t, g.admin, "windrose_tls_handshakes_total", `result="failed"`); n != 1 {
		t.Errorf("%g handshakes are counted as failed, want 1", n)
	}
}

// TestResumption resumes sessions with OpenSSL: TLS 1.2 by -reconnect, TLS 1.3 by a
// session in a file.
func TestResumption(t *testing.T) {
	r := newRig(t)
	g := startGateway(t, r, startEcho(t))
	openssl := func(input string, args ...string) string {
		path := must[string](t)(rig.Tool("openssl"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, path, append([]string{"s_client", "-connect", g.secure, "-servername", "shop.example.com"}, args...)...)
		cmd.Stdin = strings.NewReader(input)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("openssl %q: %v\n%s", args, err, out)
		}
		return string(out)
	}
	t.Run("TLS 1.2", func(t *testing.T) {
		out := openssl("", "-tls1_2", "-reconnect")
		if n := strings.Count(out, "\nReused, TLSv1.2"); n != 5 {
			t.Errorf("%d of 5 connections resumed:\n%s", n, out)
		}
	})
	t.Run("TLS 1.3", func(t *testing.T) {
		const request = "GET /a HTTP/1.1\r\nHost: shop.example.com\r\nConnection: close\r\n\r\n"
		session := filepath.Join(r.Dir, "session")
		openssl(request, "-tls1_3", "-ign_eof", "-sess_out", session)
		if out := openssl(request, "-tls1_3", "-ign_eof", "-sess_in", session); !strings.Contains(out, "\nReused, TLSv1.3") || !strings.Contains(out, "200 OK") {
			t.Errorf("the session did not resume:\n%s", out)
		}
	})
	if n := metric(t, g.admin, "windrose_tls_handshakes_total", `result="resumed"`); n != 6 {
		t.Errorf("%g handshakes are counted as resumed, want 6", n)
	}
}

// loadTime is the duration of a load.
const loadTime = 2 * time.Second

func noFailure(t *testing.T, w rig.Wrk) rig.Load {
	t.Helper()
	w.Args = append(w.Args, "--timeout", "15s") // late is not lost, on a busy machine
	got := must[rig.Load](t)(w.Run(t.Context()))
	if t.Logf("%d requests, p99 %v", got.Requests, got.P99); got.Failed+got.Late > 0 || got.Requests == 0 {
		t.Errorf("%s: %d of %d requests failed, %d never came to an end", w.URL, got.Failed, got.Requests, got.Late)
	}
	return got
}

// TestLoad sends load with several tools. No request may fail, and the gateway must have
// counted all of them.
func TestLoad(t *testing.T) {
	r := newRig(t)
	backend := ports(t, 1)[0]
	startNginx(t, r, pageServer(backend, "keepalive_requests 1000;"), backend)
	g := startGateway(t, r, backend)
	plain, secure := "http://"+g.plain+"/", "https://"+g.secure+"/"
	for _, c := range []struct {
		name string
		test func(t *testing.T) (requests float64)
	}{
		{"wrk", func(t *testing.T) float64 {
			return float64(noFailure(t, rig.Wrk{URL: plain, Connections: 64, Duration: loadTime}).Requests)
		}},
		{"wrk TLS", func(t *testing.T) float64 {
			return float64(noFailure(t, rig.Wrk{URL: secure, Connections: 64, Duration: loadTime}).Requests)
		}},
		{"wrk new connections", func(t *testing.T) float64 {
			return float64(noFailure(t, rig.Wrk{URL: plain, Connections: 16, Duration: loadTime, Args: []string{"-H", "Connection: close"}}).Requests)
		}},
		{"hey", func(t *testing.T) float64 { return testHey(t, plain) }},
		{"hey TLS without keep-alive", func(t *testing.T) float64 { return testHey(t, "-disable-keepalive", secure) }},
		{"h2load pipelining", func(t *testing.T) float64 { return testPipelines(t, plain) }},
		{"HTTP/1.0 keep-alive", func(t *testing.T) float64 { return testOldKeepAlive(t, g) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := metric(t, g.admin, "windrose_requests_total", `class="2xx"`)
			requests := c.test(t)
			// A tool that stops leaves requests in flight that it does not count.
			if counted := metric(t, g.admin, "windrose_requests_total", `class="2xx"`) - before; counted < requests {
				t.Errorf("%g requests are counted, %g were answered", counted, requests)
			}
		})
	}
	if n := metric(t, g.admin, "windrose_requests_total", `class="5xx"`); n > 0 {
		t.Errorf("%g requests were answered 5xx", n)
	}
}

func testHey(t *testing.T, args ...string) float64 {
	const n = 2000
	out := command(t, "hey", append([]string{"-n", fmt.Sprint(n), "-c", "50"}, args...)...)
	if !strings.Contains(out, fmt.Sprintf("[200]\t%d responses", n)) || strings.Contains(out, "Error distribution") {
		t.Errorf("hey prints\n%s", out)
	}
	return n
}

func testPipelines(t *testing.T, url string) float64 {
	const n = 20_000
	out := command(t, "h2load", "--h1", "-n", fmt.Sprint(n), "-c", "16", "-m", "8", url)
	if !strings.Contains(out, fmt.Sprintf("%d succeeded, 0 failed, 0 errored, 0 timeout", n)) {
		t.Errorf("h2load prints\n%s", out)
	}
	return n
}

// testOldKeepAlive sends requests as ab -k does.
func testOldKeepAlive(t *testing.T, g *gateway) float64 {
	ctx, cancel := context.WithTimeout(t.Context(), loadTime/2)
	defer cancel()
	counts := hammer(ctx, g.plain, 16, func(client *rig.Raw) (rig.Answer, error) {
		answer, err := client.Send("GET", "GET /page HTTP/1.0\r\nHost: shop.example.com\r\nConnection: Keep-Alive\r\n\r\n")
		if kept := answer.Header.Get("Connection"); err == nil && !strings.EqualFold(kept, "keep-alive") {
			err = fmt.Errorf("the answer's Connection field is %q", kept)
		}
		return answer, err
	})
	if counts.failed() > 0 {
		t.Errorf("%d of %d requests failed:\n%s", counts.failed(), counts.sent.Load(), counts)
	}
	return float64(counts.ends["200"])
}
