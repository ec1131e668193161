package proxy_test

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// socketServer echoes messages, and speaks the subprotocol "chat".
func socketServer(t *testing.T) string {
	t.Helper()
	upgrader := websocket.Upgrader{Subprotocols: []string{"chat"}, CheckOrigin: func(*http.Request) bool { return true }}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/refuse" {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		c, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer c.Close()
		for {
			kind, message, err := c.ReadMessage()
			if err != nil || c.WriteMessage(kind, message) != nil {
				return
			}
		}
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// chain returns a proxy whose clients speak HTTP/1.1 or 2, before one that it
// speaks HTTP/2 to, before backend.
func chain(t *testing.T, backend string) *rig {
	t.Helper()
	last := newRig(t, nil)
	last.apply(rule("", backend))
	first := newRig(t, nil)
	first.apply(http2Rule("", last.addr(80)))
	return first
}

func dialSocket(t *testing.T, url string) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	dialer := websocket.Dialer{Subprotocols: []string{"chat"}}
	c, resp, err := dialer.Dial(url, nil)
	if err == nil {
		t.Cleanup(func() { c.Close() })
	}
	return c, resp, err
}

func echoMessages(t *testing.T, c *websocket.Conn) {
	t.Helper()
	if c.Subprotocol() != "chat" {
		t.Errorf("subprotocol %q", c.Subprotocol())
	}
	for _, size := range []int{0, 1, 1000, 100_000, 1_000_000} {
		message := strings.Repeat("x", size)
		var writing sync.WaitGroup
		writing.Go(func() { c.WriteMessage(websocket.TextMessage, []byte(message)) })
		if _, got, err := c.ReadMessage(); err != nil || string(got) != message {
			t.Fatalf("%d bytes: %d bytes back, %v", size, len(got), err)
		}
		writing.Wait()
	}
}

// A WebSocket goes over HTTP/1.1 and over HTTP/2 (RFC 8441), and from one to the
// other and back.
func TestWebSocketOverHTTP2(t *testing.T) {
	backend := socketServer(t)
	direct := newRig(t, nil)
	direct.apply(rule("", backend))
	for name, r := range map[string]*rig{"HTTP/1.1": direct, "by way of HTTP/2": chain(t, backend)} {
		t.Run(name, func(t *testing.T) {
			c, _, err := dialSocket(t, "ws://"+r.addr(80)+"/chat")
			if err != nil {
				t.Fatal(err)
			}
			echoMessages(t, c)
			c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(patience))
			if _, _, err := c.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseNormalClosure) {
				t.Error(err)
			}
			_, resp, err := dialSocket(t, "ws://"+r.addr(80)+"/refuse")
			if err == nil || resp.StatusCode != http.StatusForbidden {
				t.Errorf("%v %v", resp, err)
			}
		})
	}
}

// Sockets outlive configurations, and are cut where a rule is now closed.
func TestWebSocketAndSwaps(t *testing.T) {
	backend := socketServer(t)
	last := newRig(t, nil)
	last.apply(rule("", backend))
	r := newRig(t, nil)
	r.apply(http2Rule("", last.addr(80)))
	c, _, err := dialSocket(t, "ws://"+r.addr(80)+"/")
	if err != nil {
		t.Fatal(err)
	}
	echoMessages(t, c)
	r.apply(http2Rule("max-body=5", last.addr(80)))
	last.apply(rule("max-body=6", backend))
	echoMessages(t, c)
	r.apply("listener 80 http\nhost * 80\nblock test by-specificity\nrule r prefix:/ respond=503:closed\n")
	if _, _, err := c.ReadMessage(); err == nil {
		t.Error("a closed rule's socket lives")
	}
}

// A backend that chooses its version is asked for HTTP/1.1 where a tunnel is to
// be opened.
func TestWebSocketToANegotiatingBackend(t *testing.T) {
	pair := newKeyPair(t, "a.example")
	upgrader := websocket.Upgrader{Subprotocols: []string{"chat"}}
	b := newSecureBackend(t, pair, nil)
	b.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		kind, message, _ := c.ReadMessage()
		c.WriteMessage(kind, append(message, r.Proto...))
		c.Close()
	})
	r := newRig(t, nil)
	r.applySnapshot(securedRule(t, "protocol=negotiated tls name=a.example ca=configmap/ns/ca", b.addr(), pair.chain, nil))
	c, _, err := dialSocket(t, "ws://"+r.addr(80)+"/")
	if err != nil {
		t.Fatal(err)
	}
	c.WriteMessage(websocket.TextMessage, []byte("hello "))
	if _, got, err := c.ReadMessage(); err != nil || string(got) != "hello HTTP/1.1" {
		t.Errorf("%q %v", got, err)
	}
}

// A backend over HTTP/2 that takes no tunnels is an invalid one for WebSockets.
func TestWebSocketToABackendWithoutTunnels(t *testing.T) {
	pair := newKeyPair(t, "a.example")
	b := newSecureBackend(t, pair, func(c *tls.Config) { c.NextProtos = []string{"h2"} })
	r := newRig(t, nil)
	r.applySnapshot(securedRule(t, "protocol=http2 tls name=a.example ca=configmap/ns/ca", b.addr(), pair.chain, nil))
	_, resp, err := dialSocket(t, "ws://"+r.addr(80)+"/")
	if err == nil || resp.StatusCode != http.StatusBadGateway {
		t.Errorf("%v %v", resp, err)
	}
}

// closingServer echoes messages and tells with which codes its sockets were closed.
func closingServer(t *testing.T) (addr string, codes chan int) {
	t.Helper()
	codes = make(chan int, 4)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer c.Close()
		for {
			kind, message, err := c.ReadMessage()
			var closed *websocket.CloseError
			if errors.As(err, &closed) {
				codes <- closed.Code
			}
			if err != nil || c.WriteMessage(kind, message) != nil {
				return
			}
		}
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String(), codes
}

// A drain tells the clients of WebSockets that the server goes away, and their
// answers the backends: nothing has to be cut.
func TestWebSocketDrain(t *testing.T) {
	for _, name := range []string{"HTTP/1.1", "by way of HTTP/2"} {
		t.Run(name, func(t *testing.T) {
			backend, codes := closingServer(t)
			r := newRig(t, nil)
			r.apply(rule("", backend))
			if name != "HTTP/1.1" {
				r = chain(t, backend)
			}
			c, _, err := dialSocket(t, "ws://"+r.addr(80)+"/")
			if err != nil {
				t.Fatal(err)
			}
			c.WriteMessage(websocket.TextMessage, []byte("hello"))
			if _, got, err := c.ReadMessage(); err != nil || string(got) != "hello" {
				t.Fatalf("%q %v", got, err)
			}
			cut := make(chan int)
			go func() { cut <- r.stop() }()
			if _, _, err := c.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseGoingAway) {
				t.Errorf("the client got %v", err)
			}
			if code := <-codes; code != websocket.CloseGoingAway {
				t.Errorf("the backend got %d", code)
			}
			c.Close()
			if n := <-cut; n != 0 {
				t.Errorf("%d connections were cut", n)
			}
			r.log.wait(t, " 101 upgraded ")
		})
	}
}

// The goodbye does not come within a frame, and nothing comes behind it.
func TestWebSocketDrainWithinAFrame(t *testing.T) {
	goOn := newSignal()
	r, _ := serve(t, "", upgraded(func(p *peer) {
		p.send("\x82\x05he")
		goOn.wait(t, "the drain has begun")
		p.send("llo\x82\x04late")
		p.rest()
	}))
	c := r.upgrade()
	c.expect("\x82\x05he")
	cut := make(chan int)
	go func() { cut <- r.stop() }()
	eventually(t, "the proxy takes no more connections", r.refuses)
	goOn.fire()
	c.expect("llo\x88\x02\x03\xe9")
	c.nc.Close()
	if n := <-cut; n != 0 {
		t.Errorf("%d connections were cut", n)
	}
}

// refuses reports whether the proxy takes no more connections.
func (r *rig) refuses() bool {
	nc, err := net.Dial("tcp", r.addr(80))
	if err == nil {
		nc.Close()
	}
	return err != nil
}
