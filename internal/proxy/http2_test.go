package proxy_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	xhttp2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"windrose.dev/windrose/internal/proxy"
	"windrose.dev/windrose/internal/proxy/wire/http2"
)

// client2 returns a client of net/http that speaks HTTP/2 in plain text, over
// one connection.
func (r *rig) client2() *http.Client {
	transport := &http.Transport{Protocols: new(http.Protocols), MaxConnsPerHost: 1}
	transport.Protocols.SetUnencryptedHTTP2(true)
	r.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func (r *rig) url(path string) string { return "http://" + r.addr(80) + path }

// httpBackend is a server of net/http.
func httpBackend(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// framer2 is a client of HTTP/2 that writes whatever frames it likes.
type framer2 struct {
	t *testing.T
	net.Conn
	*xhttp2.Framer
	block bytes.Buffer
	enc   *hpack.Encoder
}

func (r *rig) framer2() *framer2 {
	r.t.Helper()
	nc, err := net.Dial("tcp", r.addr(80))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { nc.Close() })
	f := &framer2{t: r.t, Conn: nc, Framer: xhttp2.NewFramer(nc, nc)}
	f.enc, f.ReadMetaHeaders = hpack.NewEncoder(&f.block), hpack.NewDecoder(4096, nil)
	f.AllowIllegalWrites = true
	io.WriteString(nc, http2.Preface)
	f.WriteSettings()
	return f
}

// ask sends the head of a request.
func (f *framer2) ask(id uint32, end bool, pairs ...string) {
	f.t.Helper()
	f.block.Reset()
	for i := 0; i < len(pairs); i += 2 {
		f.enc.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]})
	}
	err := f.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: id, BlockFragment: f.block.Bytes(), EndHeaders: true, EndStream: end})
	if err != nil {
		f.t.Fatal(err)
	}
}

func pseudo(method, path string) []string {
	return []string{":method", method, ":scheme", "http", ":authority", "a", ":path", path}
}

// until reads frames until one is as wanted, or the connection ends.
func (f *framer2) until(wanted func(xhttp2.Frame) bool) xhttp2.Frame {
	f.t.Helper()
	f.SetReadDeadline(time.Now().Add(patience))
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return nil
		}
		if wanted(frame) {
			return frame
		}
	}
}

func (f *framer2) goAway() xhttp2.ErrCode {
	f.t.Helper()
	frame, _ := f.until(func(frame xhttp2.Frame) bool { _, is := frame.(*xhttp2.GoAwayFrame); return is }).(*xhttp2.GoAwayFrame)
	if frame == nil {
		f.t.Fatal("no GOAWAY")
	}
	return frame.ErrCode
}

func TestHTTP2(t *testing.T) {
	backend := httpBackend(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/early":
			w.Header().Set("Connection", "close") // or net/http waits for the body
			w.WriteHeader(http.StatusTeapot)
			return
		case "/hints":
			w.Header().Set("Link", "</a>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
		case "/abort":
			w.Write([]byte("some"))
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		http.NewResponseController(w).EnableFullDuplex() // it echoes while it reads
		w.Header().Set("Trailer", "X-Sum")
		n, _ := io.Copy(w, r.Body)
		w.Header().Set("X-Sum", r.Method+" "+r.Trailer.Get("X-In"))
		w.Header().Set("X-Bytes", http.StatusText(int(n)))
	})
	r := newRig(t, nil)
	r.apply(rule("", backend))
	client := r.client2()
	body := strings.Repeat("0123456789", 100_000)
	t.Run("a body and trailers both ways", func(t *testing.T) {
		req, _ := http.NewRequestWithContext(t.Context(), "POST", r.url("/"), io.NopCloser(strings.NewReader(body)))
		req.Trailer = http.Header{"X-In": {"in"}}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		if err != nil || string(got) != body || resp.ProtoMajor != 2 || resp.Trailer.Get("X-Sum") != "POST in" {
			t.Errorf("%d bytes, %v, %s, trailer %q", len(got), err, resp.Proto, resp.Trailer)
		}
	})
	t.Run("HEAD", func(t *testing.T) {
		resp, err := client.Head(r.url("/"))
		if err != nil || resp.StatusCode != 200 {
			t.Errorf("%v %v", resp, err)
		}
	})
	t.Run("an answer before the end of the request", func(t *testing.T) {
		reader, writer := io.Pipe()
		defer writer.Close()
		resp, err := client.Post(r.url("/early"), "text/plain", reader)
		if err != nil || resp.StatusCode != http.StatusTeapot {
			t.Errorf("%v %v", resp, err)
		}
	})
	t.Run("an answer that breaks off", func(t *testing.T) {
		resp, err := client.Get(r.url("/abort"))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(resp.Body); err == nil {
			t.Errorf("%q, and no error", got)
		}
	})
	t.Run("our own answer", func(t *testing.T) {
		r.apply("listener 80 http\nhost other 80\nblock test by-specificity\nrule r prefix:/ respond=503:closed\n")
		defer r.apply(rule("", backend))
		resp, err := client.Get(r.url("/"))
		if err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != 404 || !strings.Contains(string(got), "outcome: no_route") {
			t.Errorf("%d %q", resp.StatusCode, got)
		}
	})
}

// Heads beyond the limits get their statuses, malformed ones a reset and a line
// in the log, and the connection goes on.
func TestHTTP2BadHeads(t *testing.T) {
	r := newRig(t, nil)
	r.apply(rule("", httpBackend(t, func(http.ResponseWriter, *http.Request) {})))
	client := r.client2()
	for status, edit := range map[int]func(*http.Request){
		414: func(req *http.Request) { req.URL.Path = "/" + strings.Repeat("x", 10<<10) },
		200: func(*http.Request) {},
	} {
		req, _ := http.NewRequestWithContext(t.Context(), "GET", r.url("/"), nil)
		edit(req)
		if resp, err := client.Do(req); err != nil || resp.StatusCode != status {
			t.Errorf("%v %v, want %d", resp, err, status)
		}
	}
	f := r.framer2()
	f.ask(1, true, append(pseudo("GET", "/"), "connection", "close")...)
	reset, _ := f.until(func(frame xhttp2.Frame) bool { _, is := frame.(*xhttp2.RSTStreamFrame); return is }).(*xhttp2.RSTStreamFrame)
	if reset == nil || reset.ErrCode != xhttp2.ErrCodeProtocol {
		t.Errorf("%v", reset)
	}
	many := pseudo("GET", "/")
	for range 120 {
		many = append(many, "x", "y")
	}
	for i, tt := range []struct {
		head   []string
		status string
	}{{many, "431"}, {pseudo("GET", "/"), "200"}} {
		f.ask(uint32(3+2*i), true, tt.head...)
		head, _ := f.until(func(frame xhttp2.Frame) bool { _, is := frame.(*xhttp2.MetaHeadersFrame); return is }).(*xhttp2.MetaHeadersFrame)
		if head == nil || head.PseudoValue("status") != tt.status {
			t.Errorf("%v, want %s", head, tt.status)
		}
	}
	r.log.wait(t, "a field that concerns a connection (RFC 9113 §8.2.2, RFC 9114 §4.2)")
}

// A broken connection says why, and leaves one line.
func TestHTTP2BrokenConnection(t *testing.T) {
	r := newRig(t, nil)
	r.apply(rule("", httpBackend(t, func(http.ResponseWriter, *http.Request) {})))
	f := r.framer2()
	f.WriteRawFrame(xhttp2.FramePing, 0, 1, make([]byte, 8))
	if code := f.goAway(); code != xhttp2.ErrCodeProtocol {
		t.Error(code)
	}
	f.Close()
	r.log.wait(t, "PROTOCOL_ERROR: PING on a stream")
}

// Rapid resets end the connection, and the backend's work with them.
func TestHTTP2RapidReset(t *testing.T) {
	var working sync.WaitGroup
	r := newRig(t, nil)
	r.apply(rule("", httpBackend(t, func(_ http.ResponseWriter, req *http.Request) {
		working.Add(1)
		defer working.Done()
		<-req.Context().Done()
	})))
	f := r.framer2()
	go func() {
		for id := uint32(1); id < 4000; id += 2 {
			f.ask2(id)
			if f.WriteRSTStream(id, xhttp2.ErrCodeCancel) != nil {
				return
			}
		}
	}()
	if code := f.goAway(); code != xhttp2.ErrCodeEnhanceYourCalm {
		t.Error(code)
	}
	f.Close()
	eventually(t, "nothing is open", func() bool { return r.proxy.Connections() == 0 })
	working.Wait()
}

// ask2 sends a request without a body; errors are left to what is read.
func (f *framer2) ask2(id uint32) {
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	enc.SetMaxDynamicTableSize(0)
	for _, pair := range [][2]string{{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}} {
		enc.WriteField(hpack.HeaderField{Name: pair[0], Value: pair[1]})
	}
	f.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true})
}

// A client that cancels ends the work at the backend.
func TestHTTP2ClientCancels(t *testing.T) {
	began, ended := make(chan bool), make(chan bool)
	r := newRig(t, nil)
	r.apply(rule("", httpBackend(t, func(_ http.ResponseWriter, req *http.Request) {
		began <- true
		<-req.Context().Done()
		ended <- true
	})))
	client := r.client2()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-began
		cancel()
	}()
	req, _ := http.NewRequestWithContext(ctx, "GET", r.url("/"), nil)
	if _, err := client.Do(req); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	<-ended
	r.log.wait(t, "client_gone")
}

// Streams that nobody reads do not stall the others on their connection, in
// either direction.
func TestHTTP2SlowReaders(t *testing.T) {
	release := make(chan bool)
	r := newRig(t, nil)
	r.apply(rule("", httpBackend(t, func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/stuck" {
			<-release // and does not read its body
			return
		}
		io.Copy(w, req.Body)
		if req.URL.Path == "/endless" {
			for req.Context().Err() == nil {
				w.Write(make([]byte, 32<<10))
			}
		}
	})))
	client := r.client2()
	for range 20 {
		resp, err := client.Get(r.url("/endless")) // read no further
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		go client.Post(r.url("/stuck"), "text/plain", io.LimitReader(zeros{}, 10<<20))
	}
	body := strings.Repeat("y", 300_000)
	for range 20 {
		resp, err := client.Post(r.url("/"), "text/plain", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(resp.Body); err != nil || len(got) != len(body) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
	}
	close(release)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// A drain lets streams end, takes those that are on their way, and refuses
// connections afterwards.
func TestHTTP2Drain(t *testing.T) {
	began, release := make(chan bool, 1), make(chan bool)
	r := newRig(t, nil)
	r.apply(rule("", httpBackend(t, func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/slow" {
			began <- true
			<-release
		}
		io.WriteString(w, "done")
	})))
	client := r.client2()
	answered := make(chan error, 1)
	go func() {
		resp, err := client.Get(r.url("/slow"))
		if err == nil {
			_, err = io.ReadAll(resp.Body)
		}
		answered <- err
	}()
	<-began
	idle := r.framer2()
	idle.until(func(frame xhttp2.Frame) bool { _, is := frame.(*xhttp2.SettingsFrame); return is })
	stopped := make(chan int)
	go func() { stopped <- r.stop() }()
	if code := idle.goAway(); code != xhttp2.ErrCodeNo {
		t.Error(code)
	}
	close(release)
	if err := <-answered; err != nil {
		t.Error(err)
	}
	if cut := <-stopped; cut != 0 {
		t.Errorf("%d connections were cut", cut)
	}
}

// No request is lost while configurations are swapped under many streams.
func TestHTTP2Swaps(t *testing.T) {
	backends := []string{}
	for range 2 {
		backends = append(backends, httpBackend(t, func(w http.ResponseWriter, req *http.Request) { io.Copy(w, req.Body) }))
	}
	r := newRig(t, nil)
	r.apply(rule("", backends[0]))
	client := r.client2()
	var asking sync.WaitGroup
	for range 16 {
		asking.Go(func() {
			for range 100 {
				resp, err := client.Post(r.url("/"), "text/plain", strings.NewReader("hello"))
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := io.ReadAll(resp.Body); err != nil || string(got) != "hello" || resp.StatusCode != 200 {
					t.Errorf("%d %q %v", resp.StatusCode, got, err)
				}
			}
		})
	}
	done := make(chan bool)
	go func() { asking.Wait(); close(done) }()
	for i := 0; ; i++ {
		select {
		case <-done:
			return
		default:
			r.apply(rule("", backends[i%2]))
		}
	}
}

// Many streams at a time cost a bounded amount each, which is given back.
func TestHTTP2ManyStreams(t *testing.T) {
	if raceEnabled {
		t.Log("memory is counted without the race detector; the streams are opened all the same")
	}
	const connections, streams = 40, 50
	release := make(chan bool)
	var waiting sync.WaitGroup
	waiting.Add(connections * streams)
	r := newRig(t, func(cfg *proxy.Config) { cfg.Log = nil })
	r.apply(rule("", httpBackend(t, func(http.ResponseWriter, *http.Request) {
		waiting.Done()
		<-release
	})))
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var framers []*framer2
	for range connections {
		f := r.framer2()
		framers = append(framers, f)
		for i := range streams {
			f.ask(uint32(2*i+1), true, pseudo("GET", "/")...)
		}
	}
	waiting.Wait()
	runtime.GC()
	runtime.ReadMemStats(&after)
	// The backend is in this process too, and takes its part.
	if each := int64(after.HeapInuse+after.StackInuse-before.HeapInuse-before.StackInuse) / (connections * streams); each > 60<<10 && !raceEnabled {
		t.Errorf("%d bytes a stream", each)
	}
	close(release)
	for _, f := range framers {
		f.Close()
	}
	eventually(t, "nothing is open", func() bool { return r.proxy.Connections() == 0 })
}

// An extended CONNECT for anything but a WebSocket goes nowhere: it could carry
// requests that no rule has seen.
func TestHTTP2OtherProtocols(t *testing.T) {
	asked := make(chan string, 4)
	r := newRig(t, nil)
	r.apply(rule("", httpBackend(t, func(_ http.ResponseWriter, req *http.Request) { asked <- req.Header.Get("Upgrade") })))
	f := r.framer2()
	for i, protocol := range []string{"h2c", "connect-udp"} {
		f.ask(uint32(2*i+1), false, ":method", "CONNECT", ":protocol", protocol, ":scheme", "http", ":authority", "a", ":path", "/")
		head, _ := f.until(func(frame xhttp2.Frame) bool { _, is := frame.(*xhttp2.MetaHeadersFrame); return is }).(*xhttp2.MetaHeadersFrame)
		if head == nil || head.PseudoValue("status") != "501" {
			t.Errorf("%s: %v", protocol, head)
		}
	}
	if len(asked) > 0 {
		t.Errorf("the backend was asked for %q", <-asked)
	}
}
