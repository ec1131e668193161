package proxy_test

import (
	"crypto/sha1"
	"encoding/base64"
	"io"
	"net"
	"testing"
	"time"

	xhttp2 "golang.org/x/net/http2"

	"windrose.dev/windrose/internal/proxy"
)

// A drain says goodbye on no stream that its backend has ended: it would wait for
// that stream, and write to whoever uses it next.
func TestNoGoodbyeBehindTheEnd(t *testing.T) {
	backend := newBackend(t, func(p *peer) {
		key := fieldOf(p.message(), "Sec-WebSocket-Key")
		p.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
			"Sec-WebSocket-Accept: " + accepts(key) + "\r\n\r\n")
		p.nc.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, p.nc)
	})
	r := newRig(t, func(cfg *proxy.Config) { cfg.DrainWait = time.Second })
	r.apply(rule("", backend.addr))
	f := r.framer2()
	f.ask(1, false, ":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":authority", "a", ":path", "/", "sec-websocket-version", "13")
	f.until(func(frame xhttp2.Frame) bool { data, is := frame.(*xhttp2.DataFrame); return is && data.StreamEnded() })
	stopped := make(chan int)
	go func() { stopped <- r.stop() }()
	f.goAway()
	f.WriteData(1, true, nil)
	select {
	case <-stopped:
	case <-time.After(patience):
		t.Fatal("the drain does not end")
	}
}

// accepts is what a server answers to a Sec-WebSocket-Key.
func accepts(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}
