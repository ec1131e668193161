package proxy_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	xhttp2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"windrose.dev/windrose/internal/proxy/wire/http2"
)

// frameBackend is a backend of HTTP/2 that answers each request with whatever
// frames it likes.
func frameBackend(t *testing.T, answer func(f *framer2, request *xhttp2.MetaHeadersFrame)) *backend {
	t.Helper()
	return newBackend(t, func(p *peer) {
		p.patient()
		if _, err := io.ReadFull(p.r, make([]byte, len(http2.Preface))); err != nil {
			return
		}
		f := &framer2{t: t, Conn: p.nc, Framer: xhttp2.NewFramer(p.nc, p.r)}
		f.enc, f.ReadMetaHeaders = hpack.NewEncoder(&f.block), hpack.NewDecoder(4096, nil)
		f.WriteSettings()
		for {
			frame, err := f.ReadFrame()
			if err != nil {
				return
			}
			switch frame := frame.(type) {
			case *xhttp2.SettingsFrame:
				if !frame.IsAck() {
					f.WriteSettingsAck()
				}
			case *xhttp2.MetaHeadersFrame:
				answer(f, frame)
			}
		}
	})
}

// serveFrames starts a rig with one rule and such a backend.
func serveFrames(t *testing.T, answer func(f *framer2, request *xhttp2.MetaHeadersFrame)) (*rig, *backend) {
	t.Helper()
	b := frameBackend(t, answer)
	r := newRig(t, nil)
	r.apply(http2Rule("", b.addr))
	return r, b
}

// Answers that have no body may still be followed by the end of the stream in a
// frame of its own: clients of HTTP/1 get no chunk for that.
func TestAnswersWithoutABody(t *testing.T) {
	for _, test := range []struct{ method, status string }{{"HEAD", "200"}, {"GET", "304"}, {"GET", "204"}} {
		r, _ := serveFrames(t, func(f *framer2, request *xhttp2.MetaHeadersFrame) {
			f.ask(request.StreamID, false, ":status", test.status)
			f.WriteData(request.StreamID, true, nil)
		})
		c := r.dial()
		for range 2 { // the second would see what is behind the first
			c.send(test.method + " / HTTP/1.1\r\nHost: a\r\n\r\n")
			if head := c.head(); statusText(statusOf(head)) != test.status || fieldOf(head, "Transfer-Encoding") != "" {
				t.Errorf("%s, %s: %q", test.method, test.status, head)
			}
		}
		c.nc.Close()
	}
}

// Trailers are passed on to HTTP/1 also when they come at once with the body.
func TestTrailersThatComeAtOnce(t *testing.T) {
	r, _ := serveFrames(t, func(f *framer2, request *xhttp2.MetaHeadersFrame) {
		var all bytes.Buffer
		out := f.Framer
		f.Framer = xhttp2.NewFramer(&all, nil)
		f.ask(request.StreamID, false, ":status", "200", "trailer", "x-sum")
		f.WriteData(request.StreamID, false, []byte("body"))
		f.ask(request.StreamID, true, "x-sum", "42")
		f.Framer = out
		f.Conn.Write(all.Bytes())
	})
	for range 20 { // what comes in one read is up to the system
		got := r.ask("GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n\r\n")
		if !strings.Contains(got, "x-sum: 42\r\n") {
			t.Fatalf("%q", got)
		}
	}
}

// A request that a backend has not looked at, because it leaves or refuses it, goes
// elsewhere, whatever its method.
func TestRefusedByABackend(t *testing.T) {
	for name, refuse := range map[string]func(*framer2, uint32){
		"REFUSED_STREAM": func(f *framer2, id uint32) { f.WriteRSTStream(id, xhttp2.ErrCodeRefusedStream) },
		"GOAWAY": func(f *framer2, id uint32) {
			f.WriteGoAway(id-2, xhttp2.ErrCodeNo, nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			var refused atomic.Int64
			r, _ := serveFrames(t, func(f *framer2, request *xhttp2.MetaHeadersFrame) {
				if request.StreamID == 3 && refused.Add(1) == 1 {
					refuse(f, request.StreamID)
					return
				}
				f.ask(request.StreamID, true, ":status", "200")
			})
			for i := range 4 {
				if got := r.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"); statusOf(got) != 200 {
					t.Errorf("number %d: %q", i, got)
				}
			}
			if refused.Load() == 0 {
				t.Error("nothing was refused")
			}
		})
	}
}

// Not one request is lost when swaps replace the endpoints of a service over HTTP/2
// all the time.
func TestSwapsOfHTTP2Endpoints(t *testing.T) {
	backends := make([]string, 3)
	for i := range backends {
		backends[i] = http2Server(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
	}
	r := newRig(t, nil)
	r.apply(http2Rule("", backends[0]))
	client := r.client2()
	stop := make(chan bool)
	var sent, failed atomic.Int64
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				resp, err := client.Post(r.url("/"), "text/plain", strings.NewReader("hello"))
				if err == nil {
					if body, _ := io.ReadAll(resp.Body); resp.StatusCode != 200 || string(body) != "hello" {
						err = fmt.Errorf("%d: %q", resp.StatusCode, body)
					}
					resp.Body.Close()
				}
				if sent.Add(1); err != nil && failed.Add(1) < 4 {
					t.Error(err)
				}
			}
		})
	}
	for i := 0; i < 300 || sent.Load() < 300; i++ {
		r.apply(http2Rule("", backends[i%len(backends)]))
		runtime.Gosched()
	}
	close(stop)
	clients.Wait()
	if failed.Load() > 0 {
		t.Errorf("%d of %d requests failed", failed.Load(), sent.Load())
	}
}

// An extended CONNECT that a backend of HTTP/1.1 refuses leaves nothing behind that
// could be part of another request.
func TestExtendedConnectHasNoBody(t *testing.T) {
	r, b := serve(t, "", func(p *peer) {
		for p.message() != "" {
			p.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
		}
	})
	f := r.framer2()
	f.ask(1, false, ":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":authority", "a", ":path", "/",
		"content-length", "50", "sec-websocket-version", "13")
	f.until(func(frame xhttp2.Frame) bool { _, is := frame.(*xhttp2.MetaHeadersFrame); return is })
	if got := r.ask(get("/next")); statusOf(got) != 403 {
		t.Errorf("%q", got)
	}
	if strings.Contains(strings.ToLower(b.bytes()), "content-length") {
		t.Errorf("%q", b.bytes())
	}
}
