//go:build peers

package peers

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"windrose.dev/windrose/bench/rig"
)

// nodeClient posts a file over HTTP/2 with Node's own client, and prints the status, the
// length of the response body and how the stream was closed.
const nodeClient = `
const http2 = require('node:http2'), fs = require('node:fs');
const [url, file, ca, type] = process.argv.slice(2);
const session = http2.connect(url, {ca: fs.readFileSync(ca), servername: 'shop.example.com'});
const stream = session.request({':method': 'POST', ':path': '/', ':authority': 'shop.example.com', 'content-type': type});
let status, length = 0;
stream.on('response', head => { status = head[':status']; });
stream.on('data', data => { length += data.length; });
stream.on('error', error => { console.log('error', error.message); });
stream.on('close', () => { console.log(status, length, stream.rstCode); session.close(); });
fs.createReadStream(file).pipe(stream);
`

// TestEarlyAnswers: clients get an early response of the gateway, sent before they have
// sent their body, whatever the sizes of both. The backend refuses connections.
func TestEarlyAnswers(t *testing.T) {
	r := newRig(t)
	g := startGateway(t, r, ports(t, 1)[0])
	script := must[string](t)(r.File("client.js", []byte(nodeClient)))
	for name, size := range map[string]int{"small": 1000, "one window": 60_000, "large": 5_000_000, "huge": 50_000_000} {
		file := must[string](t)(r.File(name+".bin", pattern(size)))
		for kind, want := range map[string]string{"text/plain": "502", "application/grpc": "200"} {
			label := name + "/" + strings.ReplaceAll(kind, "/", "-")
			t.Run("curl/"+label, func(t *testing.T) {
				for range 5 {
					if got := curlStatus(t, g, kind, "--data-binary", "@"+file); got != want {
						t.Errorf("%s, want %s", got, want)
					}
				}
			})
			t.Run("node/"+label, func(t *testing.T) {
				out := command(t, "node", script, "https://"+g.secure, file, g.cert.ChainFile, kind)
				if fields := strings.Fields(out); len(fields) != 3 || fields[0] != want || fields[2] != "0" {
					t.Errorf("node prints %q", out)
				}
			})
			t.Run("net/http/"+label, func(t *testing.T) { testEarlyGo(t, g, kind, want, size) })
		}
		t.Run("nghttp/"+name, func(t *testing.T) {
			out := command(t, "nghttp", "-n", "-s", "-y", "-t", "20s", "-H", ":authority: shop.example.com", "-d", file, "https://"+g.secure+"/")
			if !strings.Contains(out, " 502 ") {
				t.Errorf("nghttp prints\n%s", out)
			}
		})
	}
}

// TestEarlyAnswersToSlowClients: a client that sends slowly gets its response, and so
// does one that never stops sending. The gateway stops reading the latter after a time.
func TestEarlyAnswersToSlowClients(t *testing.T) {
	r := newRig(t)
	g := startGateway(t, r, ports(t, 1)[0])
	file := must[string](t)(r.File("slow.bin", pattern(300_000)))
	for _, kind := range []string{"text/plain", "application/grpc"} {
		want := map[string]string{"text/plain": "502", "application/grpc": "200"}[kind]
		if got := curlStatus(t, g, kind, "--limit-rate", "100k", "--data-binary", "@"+file); got != want {
			t.Errorf("slow, %s: %s, want %s", kind, got, want)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, version := range []string{"--http2", "--http1.1"} {
		cmd := curl(t, ctx, g, version, "text/plain", "-T", "-")
		cmd.Stdin = endless{}
		if out, err := cmd.Output(); err != nil || string(out) != "502" {
			t.Errorf("endless, %s: %q %v", version, out, err)
		}
	}
}

// endless is a body that never ends.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// curl returns a command that posts to the gateway and prints the status.
func curl(t *testing.T, ctx context.Context, g *gateway, version, kind string, args ...string) *exec.Cmd {
	t.Helper()
	return exec.CommandContext(ctx, must[string](t)(rig.Tool("curl")), append([]string{
		"-sS", version, "-o", "/dev/null", "-w", "%{http_code}", "--noproxy", "*", "--cacert", g.cert.ChainFile, "-X", "POST",
		"-H", "Content-Type: " + kind, "-H", "Expect:", "--connect-to", "shop.example.com::127.0.0.1:", "https://shop.example.com" + portOf(g.secure) + "/",
	}, args...)...)
}

// curlStatus returns the status that curl gets over HTTP/2.
func curlStatus(t *testing.T, g *gateway, kind string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := curl(t, ctx, g, "--http2", kind, args...).CombinedOutput()
	if err != nil {
		return fmt.Sprintf("%q, %v", out, err)
	}
	return string(out)
}

// testEarlyGo posts over HTTP/2 with the client of the standard library.
func testEarlyGo(t *testing.T, g *gateway, kind, want string, size int) {
	transport := &http.Transport{TLSClientConfig: clientTLS(g), ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	for range 5 {
		resp, err := client.Post("https://"+g.secure+"/", kind, bytes.NewReader(pattern(size)))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.ProtoMajor != 2 || fmt.Sprint(resp.StatusCode) != want {
			t.Errorf("%s %d %q %v", resp.Proto, resp.StatusCode, body, err)
		}
	}
}
