package proxy_test

import (
	"strings"
	"testing"
	"time"

	xhttp2 "golang.org/x/net/http2"

	"windrose.dev/windrose/internal/proxy"
)

// A request that breaks a rule after its head, or a connection that does, is one
// line of the log, with the outcome that it is.
func TestHTTP2Faults(t *testing.T) {
	tests := []struct {
		name    string
		write   func(f *framer2)
		outcome string
		detail  string
	}{
		{"more body than announced", func(f *framer2) {
			f.ask(1, false, append(pseudo("POST", "/slow"), "content-length", "3")...)
			f.WriteData(1, true, []byte("four"))
		}, " bad_request ", "Content-Length"},
		{"less body than announced", func(f *framer2) {
			f.ask(1, false, append(pseudo("POST", "/slow"), "content-length", "5")...)
			f.WriteData(1, true, []byte("four"))
		}, " bad_request ", "Content-Length"},
		{"a window above the largest", func(f *framer2) {
			f.ask(1, true, pseudo("GET", "/slow")...)
			f.WriteWindowUpdate(1, 1<<31-1)
		}, " bad_request ", "window"},
		{"a frame too large", func(f *framer2) { f.WriteRawFrame(xhttp2.FrameData, 0, 1, make([]byte, 20_000)) }, " bad_request ", "RFC 9113 §4.2"},
		{"a flood", func(f *framer2) {
			for range 2500 {
				f.WriteRawFrame(0x42, 0, 0, nil)
			}
		}, " client_abuse ", "without effect"},
		{"a head that does not end", func(f *framer2) {
			f.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x82}})
		}, " client_timeout ", "in time"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBackend(t, func(p *peer) { p.rest() })
			r := newRig(t, func(cfg *proxy.Config) { cfg.Limits.HeaderTimeout = 300 * time.Millisecond })
			r.apply(rule("", b.addr))
			f := r.framer2()
			tt.write(f)
			line := r.log.wait(t, tt.outcome)
			if !strings.Contains(line, tt.detail) {
				t.Errorf("%s", line)
			}
			f.Close()
			r.stop()
			if n := strings.Count(r.log.all(), "\n"); n != 1 {
				t.Errorf("%d lines:\n%s", n, r.log.all())
			}
		})
	}
}

// What does not fit is refused unseen, and counted.
func TestHTTP2RefusedStreams(t *testing.T) {
	b := newBackend(t, func(p *peer) { p.rest() })
	r := newRig(t, func(cfg *proxy.Config) { cfg.Limits.Streams = 2 })
	r.apply(rule("", b.addr))
	f := r.framer2()
	for id := uint32(1); id <= 7; id += 2 {
		f.ask(id, true, pseudo("GET", "/")...)
	}
	for range 2 {
		frame, _ := f.until(func(frame xhttp2.Frame) bool { _, is := frame.(*xhttp2.RSTStreamFrame); return is }).(*xhttp2.RSTStreamFrame)
		if frame == nil || frame.ErrCode != xhttp2.ErrCodeRefusedStream || frame.StreamID < 5 {
			t.Errorf("%v", frame)
		}
	}
	if text := string(r.metrics.WriteText()); !strings.Contains(text, `windrose_streams_refused_total{port="80"} 2`) {
		t.Errorf("%s", text)
	}
}

// The last answers of a drain reach clients whole, also while these still write.
func TestHTTP2DrainOfLargeAnswers(t *testing.T) {
	const size = 3 << 20
	r, _ := serve(t, "", func(p *peer) {
		for p.message() != "" {
			p.send(text(strings.Repeat("x", size)))
		}
	})
	f := r.framer2()
	f.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 1 << 30})
	f.WriteWindowUpdate(0, 1<<30)
	f.ask(1, true, pseudo("GET", "/")...)
	f.until(func(frame xhttp2.Frame) bool { _, is := frame.(*xhttp2.MetaHeadersFrame); return is })
	cut := make(chan int)
	go func() { cut <- r.stop() }()
	got := 0
	for ended := false; !ended; {
		data, _ := f.until(func(frame xhttp2.Frame) bool { _, is := frame.(*xhttp2.DataFrame); return is }).(*xhttp2.DataFrame)
		if data == nil {
			break
		}
		got += len(data.Data())
		f.WriteWindowUpdate(0, 1) // what comes late must not reset the connection
		ended = data.StreamEnded()
	}
	if got != size {
		t.Errorf("%d bytes of %d", got, size)
	}
	for range 100 {
		f.WriteWindowUpdate(0, 1)
	}
	f.Close()
	if n := <-cut; n != 0 {
		t.Errorf("%d connections were cut", n)
	}
}
