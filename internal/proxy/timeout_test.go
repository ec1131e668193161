package proxy_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/observe"
	"windrose.dev/windrose/internal/proxy"
	"windrose.dev/windrose/internal/proxy/filter"
	"windrose.dev/windrose/internal/proxy/settings"
)

// memory is a proxy on in-memory connections, whose time is the test's.
type memory struct {
	t       *testing.T
	proxy   *proxy.Proxy
	clients chan net.Conn
	dialed  chan net.Conn // the backend's ends
	closed  chan struct{}
	start   time.Time
}

// inMemory runs a test with a proxy that serves one rule. Whatever the test
// leaves open is closed at its end.
func inMemory(t *testing.T, options string, test func(*memory)) {
	inMemoryWith(t, rule(options, "10.0.0.1:80"), test)
}

// inMemoryWith runs a test with a proxy that serves a Snapshot.
func inMemoryWith(t *testing.T, snapshot string, test func(*memory)) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{t: t, clients: make(chan net.Conn), dialed: make(chan net.Conn, 9), closed: make(chan struct{}), start: time.Now()}
		p, err := proxy.New(proxy.Config{
			Filters: filter.Table(), Metrics: observe.NewMetrics(0), Limits: settings.DefaultLimits(),
			Listen: func(string) (net.Listener, error) { return m, nil },
			Dial:   m.dial,
		})
		if err != nil {
			t.Fatal(err)
		}
		m.proxy = p
		s, err := model.Parse(snapshot)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Apply(s); err != nil {
			t.Fatal(err)
		}
		test(m)
		m.Close()
	})
}

// memory is the proxy's listener.
func (m *memory) Accept() (net.Conn, error) {
	select {
	case nc := <-m.clients:
		return nc, nil
	case <-m.closed:
		return nil, net.ErrClosed
	}
}

func (m *memory) Close() error   { close(m.closed); return nil }
func (m *memory) Addr() net.Addr { return &net.UnixAddr{Name: "memory"} }

func (m *memory) dial(ctx context.Context, _ netip.AddrPort) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case m.dialed <- far:
		m.t.Cleanup(func() { far.Close() })
		return near, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// client connects.
func (m *memory) client() *peer {
	near, far := net.Pipe()
	m.clients <- near
	m.t.Cleanup(func() { far.Close() })
	return &peer{t: m.t, nc: far, r: bufio.NewReader(far)}
}

// backend is the backend's end of the next connection.
func (m *memory) backend() *peer {
	nc := <-m.dialed
	return &peer{t: m.t, nc: nc, r: bufio.NewReader(nc)}
}

// send writes without a deadline, so that time can pass.
func tell(p *peer, text string) { io.WriteString(p.nc, text) }

// all reads to the end.
func all(p *peer) string {
	b, _ := io.ReadAll(p.r)
	return string(b)
}

// answerOf reads one answer that has a length.
func answerOf(p *peer) string {
	var b strings.Builder
	for {
		line, err := p.r.ReadString('\n')
		b.WriteString(line)
		if line == "\r\n" || err != nil {
			break
		}
	}
	body := make([]byte, contentLength(b.String()))
	io.ReadFull(p.r, body)
	return b.String() + string(body)
}

func contentLength(head string) (n int) {
	for _, c := range fieldOf(head, "Content-Length") {
		n = n*10 + int(c-'0')
	}
	return n
}

// took checks how much time has passed since the last check. Deadlines are
// lazy: they may be a quarter late.
func (m *memory) took(least time.Duration) {
	m.t.Helper()
	now := time.Now()
	if d := now.Sub(m.start); d < least || d > least*5/4 {
		m.t.Errorf("it took %v, want %v", d, least)
	}
	m.start = now
}

func TestHeaderTimeout(t *testing.T) {
	inMemory(t, "", func(m *memory) {
		c := m.client()
		tell(c, "GET / HTTP/1.1\r\nHo")
		got := all(c)
		m.took(15 * time.Second)
		if plain(got) != closing(failed(408, "Request Timeout", "client_timeout")) {
			t.Errorf("%q", got)
		}
	})
}

// TestHeaderTimeoutOfASlowHead sends a byte a second: the time does not begin
// again with each.
func TestHeaderTimeoutOfASlowHead(t *testing.T) {
	inMemory(t, "", func(m *memory) {
		c := m.client()
		go func() {
			for _, b := range []byte(get("/a-long-path-that-takes-its-time")) {
				if _, err := c.nc.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}()
		if got := all(c); statusOf(got) != 408 {
			t.Errorf("%q", got)
		}
		m.took(15 * time.Second)
		c.nc.Close()
		time.Sleep(2 * time.Second)
	})
}

func TestSilentConnectionsEnd(t *testing.T) {
	inMemory(t, "", func(m *memory) {
		if got := all(m.client()); got != "" {
			t.Errorf("%q", got)
		}
		m.took(15 * time.Second)

		c := m.client()
		go tell(c, get("/"))
		b := m.backend()
		b.head()
		b.nc.SetReadDeadline(time.Time{})
		go tell(b, ok2)
		answerOf(c)
		if got := all(c); got != "" {
			t.Errorf("%q", got)
		}
		m.took(75 * time.Second)
	})
}

func TestBodyTimeout(t *testing.T) {
	inMemory(t, "read=1h", func(m *memory) {
		c := m.client()
		go tell(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nxxx")
		b := m.backend()
		go all(b)
		got := all(c)
		m.took(60 * time.Second)
		if plain(got) != closing(failed(408, "Request Timeout", "client_timeout")) {
			t.Errorf("%q", got)
		}
	})
}

func TestConnectTimeout(t *testing.T) {
	inMemory(t, "", func(m *memory) {
		for range cap(m.dialed) {
			m.dialed <- nil // nobody accepts
		}
		c := m.client()
		go tell(c, get("/"))
		got := answerOf(c)
		m.took(5 * time.Second)
		if plain(got) != failed(504, "Gateway Timeout", "connect_timeout") {
			t.Errorf("%q", got)
		}
		c.nc.Close()
	})
}

func TestReadTimeout(t *testing.T) {
	for options, want := range map[string]time.Duration{"": time.Minute, "read=2s": 2 * time.Second} {
		inMemory(t, options, func(m *memory) {
			c := m.client()
			go tell(c, get("/"))
			b := m.backend()
			go all(b)
			got := answerOf(c)
			m.took(want)
			if plain(got) != failed(504, "Gateway Timeout", "upstream_timeout") {
				t.Errorf("%q", got)
			}
			c.nc.Close()
		})
	}
}

// TestLongUpload takes longer than the read timeout, which counts from the end
// of the request.
func TestLongUpload(t *testing.T) {
	for _, answers := range []bool{true, false} {
		inMemory(t, "read=2s", func(m *memory) {
			c := m.client()
			go func() {
				tell(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n")
				for range 10 {
					time.Sleep(time.Second)
					tell(c, "x")
				}
			}()
			b := m.backend()
			b.r.Discard(10)
			for !strings.HasSuffix(answerOf(b), strings.Repeat("x", 10)) {
			}
			m.took(10 * time.Second)
			if answers {
				time.Sleep(1900 * time.Millisecond)
				go tell(b, ok2)
				if got := answerOf(c); got != ok2 {
					t.Errorf("%q", got)
				}
			} else if got := answerOf(c); statusOf(got) != 504 {
				t.Errorf("%q", got)
			} else {
				m.took(2 * time.Second)
			}
			c.nc.Close()
			b.nc.Close()
		})
	}
}

func TestAnswerThatStops(t *testing.T) {
	inMemory(t, "read=2s", func(m *memory) {
		c := m.client()
		go tell(c, get("/"))
		b := m.backend()
		answerOf(b)
		go func() {
			tell(b, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nxxx")
			time.Sleep(1500 * time.Millisecond)
			tell(b, "yyy")
		}()
		got := all(c)
		if d := time.Since(m.start); d < 3500*time.Millisecond || d > 4*time.Second {
			t.Errorf("it took %v", d)
		}
		if !strings.HasSuffix(got, "xxxyyy") {
			t.Errorf("%q", got)
		}
	})
}

func TestSendTimeout(t *testing.T) {
	inMemory(t, "send=2s read=1h", func(m *memory) {
		for _, request := range []string{get("/"), "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nxxx"} {
			c := m.client()
			go func() {
				tell(c, request)
				tell(c, "yyy")
			}()
			b := m.backend()
			if strings.HasPrefix(request, "POST") {
				b.r.ReadString('x') // and no more
				b.r.Discard(b.r.Buffered())
			}
			got := answerOf(c)
			m.took(2 * time.Second)
			if statusOf(got) != 504 || !strings.Contains(got, "upstream_timeout") {
				t.Errorf("%q", got)
			}
			c.nc.Close()
		}
	})
}

func TestClientThatTakesNothing(t *testing.T) {
	inMemory(t, "", func(m *memory) {
		c := m.client()
		go tell(c, get("/"))
		b := m.backend()
		answerOf(b)
		tell(b, ok2)
		if _, err := b.r.ReadByte(); err == nil {
			t.Error("the backend got more")
		}
		m.took(60 * time.Second)
	})
}

func TestTunnelTimeout(t *testing.T) {
	for options, want := range map[string]time.Duration{"": time.Hour, "read=1m": time.Minute} {
		inMemory(t, options, func(m *memory) {
			c := m.client()
			go tell(c, upgradeRequest)
			b := m.backend()
			answerOf(b)
			go tell(b, upgradeAnswer)
			answerOf(c)
			// Bytes one way keep both open.
			go func() {
				for range 10 {
					time.Sleep(want / 2)
					tell(b, "tick")
				}
			}()
			io.ReadFull(c.r, make([]byte, 40))
			m.took(5 * want)
			all(c)
			all(b)
			m.took(want)
		})
	}
}

const (
	upgradeRequest = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n"
	upgradeAnswer  = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
)
