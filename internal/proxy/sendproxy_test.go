package proxy_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy"
	"windrose.dev/windrose/internal/proxy/wire/proxyproto"
	"windrose.dev/windrose/test/port"
)

// withProxy is a Snapshot's text whose service s:80 or s:1 asks for PROXY headers.
func withProxy(text, version string) string {
	return strings.NewReplacer("service s:80 round-robin", "service s:80 round-robin send-proxy="+version,
		"service s:1 round-robin", "service s:1 round-robin send-proxy="+version).Replace(text)
}

// readProxyHeader reads a header of either version, as the codec understands it.
func (p *peer) readProxyHeader() (h proxyproto.Header, version string) {
	p.patient()
	for n := 1; ; n++ {
		data, err := p.r.Peek(n)
		if err != nil {
			return h, ""
		}
		h, used, err := proxyproto.Parse(data)
		if err == nil {
			version = map[byte]string{'P': "v1", '\r': "v2"}[data[0]]
			p.r.Discard(used)
			return h, version
		}
		if !errors.Is(err, proxyproto.ErrIncomplete) {
			p.t.Errorf("%q: %v", data, err)
			return h, ""
		}
	}
}

// proxyHeaderEcho answers each request with the header that its connection began
// with, and then its own text.
func proxyHeaderEcho(p *peer) {
	h, version := p.readProxyHeader()
	for {
		m := p.message()
		if !strings.Contains(m, "\r\n\r\n") {
			return
		}
		p.send(text(fmt.Sprintf("%s %s > %s\n", version, h.Source, h.Destination) + m))
	}
}

func localAddr(c *peer) string  { return c.nc.LocalAddr().String() }
func remoteAddr(c *peer) string { return c.nc.RemoteAddr().String() }

// TestSendProxy: each request has a connection of its own, which begins with the
// header of its client, as the first line of text says byte by byte.
func TestSendProxy(t *testing.T) {
	for _, version := range []string{"v1", "v2"} {
		b := newBackend(t, proxyHeaderEcho)
		r := newRig(t, nil)
		r.apply(withProxy(rule("", b.addr), version))
		for i := range 2 {
			c := r.dial()
			for j := range 2 {
				c.send(post("/", "hello"))
				want := fmt.Sprintf("%s %s > %s\nPOST / HTTP/1.1\r\n", version, localAddr(c), remoteAddr(c))
				if got := bodyOf(c.answer("POST")); !strings.HasPrefix(got, want) {
					t.Errorf("%q does not begin with %q", got, want)
				}
				if n := b.connections(); n != 2*i+j+1 {
					t.Errorf("%d connections after %d requests", n, 2*i+j+1)
				}
			}
		}
		if version == "v1" && !strings.HasPrefix(b.bytes(), "PROXY TCP4 127.0.0.1 127.0.0.1 ") {
			t.Errorf("%q", b.bytes())
		}
		if _, _, idle := r.proxy.Registry().Size(); idle != 0 {
			t.Errorf("%d connections are kept", idle)
		}
	}
}

// TestProxyHeaderOfClientIsSentOn: what a balancer says of a client goes on to the
// backend.
func TestProxyHeaderOfClientIsSentOn(t *testing.T) {
	b := newBackend(t, proxyHeaderEcho)
	r := behindBalancer(t, nil)
	r.apply(withProxy(rule("", b.addr), "v2"))
	for header, want := range map[string]string{
		proxyHeader:          "v2 192.0.2.7:4321 > 203.0.113.1:80\n",
		binaryProxyHeader(1): "v2 [2001:db8::7]:4321 > [2001:db8::1]:8443\n",
	} {
		if got := bodyOf(r.ask(header + get("/"))); !strings.HasPrefix(got, want) {
			t.Errorf("%q does not begin with %q", got, want)
		}
	}
}

// TestSendProxyOfStreams: backends learn of clients of HTTP/2 and HTTP/3, too, and
// over HTTP/3 the address that they have dialled is known also of a socket for
// all addresses.
func TestSendProxyOfStreams(t *testing.T) {
	b := newBackend(t, proxyHeaderEcho)
	pair := newKeyPair(t, "x")
	for _, at := range []string{"127.0.0.1:", ":"} {
		secure := port.Free(t)
		r := newRig3(t, func(cfg *proxy.Config) {
			others := cfg.Address
			cfg.Address = func(l model.Listener) string {
				if l.ID.Port == 443 {
					return at + secure
				}
				return others(l)
			}
		})
		for version, asked := range map[string]model.ProxyProtocol{"v1": model.ProxyV1, "v2": model.ProxyV2} {
			parts := tlsRule(t, b.addr, map[string]keyPair{"*": pair}).Parts
			parts.Config.Services[0].ProxyProtocol = asked
			r.applySnapshot(freeze(parts))
			quic := r.rawAt("127.0.0.1:" + secure)
			answer, err := io.ReadAll(quic.ask(true, getFields()))
			own := quic.LocalAddr().(*net.UDPAddr).Port
			want := fmt.Sprintf("%s 127.0.0.1:%d > 127.0.0.1:%s\n", version, own, secure)
			if err != nil || !strings.Contains(string(answer), want) {
				t.Errorf("HTTP/3 at %q: %q, %v, and not %q", at, answer, err, want)
			}
			want = fmt.Sprintf("%s %%s > %s\n", version, r.addr(80))
			if got, client := r.echoed2(); !strings.HasPrefix(got, fmt.Sprintf(want, client)) {
				t.Errorf("HTTP/2: %q, and not %q", got, want)
			}
		}
	}
}

// echoed2 asks over HTTP/2 and returns the answer and the client's address.
func (r *rig) echoed2() (answer, client string) {
	r.t.Helper()
	trace := httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { client = info.Conn.LocalAddr().String() }}
	ctx := httptrace.WithClientTrace(patientContext(r.t), &trace)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url("/"), nil)
	if err != nil {
		r.t.Fatal(err)
	}
	got, err := r.client2().Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer got.Body.Close()
	body, err := io.ReadAll(got.Body)
	if err != nil || got.ProtoMajor != 2 {
		r.t.Fatal(got.Proto, err)
	}
	return string(body), client
}

func TestSendProxyOverL4Routes(t *testing.T) {
	b := newBackend(t, func(p *peer) {
		h, _ := p.readProxyHeader()
		p.send(h.Source.String() + "\n" + p.rest())
	})
	r := newRig(t, nil)
	r.apply(withProxy(l4Route("forward=s:1", b.addr), "v1"))
	c := r.dial()
	c.send("hello")
	c.nc.(*net.TCPConn).CloseWrite()
	c.expect(localAddr(c) + "\nhello")
	c.closed()
}

// TestSendProxyBeforePassthrough: the client's own TLS is behind the header.
func TestSendProxyBeforePassthrough(t *testing.T) {
	pair := newKeyPair(t, "raw.example")
	cert, err := tls.X509KeyPair(pair.chain, pair.key)
	if err != nil {
		t.Fatal(err)
	}
	b := newBackend(t, func(p *peer) {
		h, _ := p.readProxyHeader()
		conn := tls.Server(buffered{p.nc, p.r}, &tls.Config{Certificates: []tls.Certificate{cert}})
		io.WriteString(conn, h.Source.String())
		conn.Close()
	})
	r := newRig(t, nil)
	r.apply(withProxy(l4Routes("listener 443 tls\nl4-route r 443 name=raw.example forward=s:1\n", b.addr), "v2"))
	c, _, err := r.shake(&tls.Config{ServerName: "raw.example"})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.rest(); got != localAddr(c) {
		t.Errorf("%q, and not %q", got, localAddr(c))
	}
}

// buffered reads what a reader has taken from a connection first.
type buffered struct {
	net.Conn
	r *bufio.Reader
}

func (b buffered) Read(p []byte) (int, error) { return b.r.Read(p) }

// proxyHeaderListener takes the header off each connection, which then has the
// address that it names.
type proxyHeaderListener struct {
	net.Listener
	accepted atomic.Int64
}

type proxyHeaderConn struct {
	buffered
	client net.Addr
}

func (c proxyHeaderConn) RemoteAddr() net.Addr { return c.client }

func (l *proxyHeaderListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.accepted.Add(1)
	r := bufio.NewReader(nc)
	line, err := r.ReadString('\n')
	words := strings.Fields(line)
	if err != nil || len(words) != 6 {
		nc.Close()
		return nil, fmt.Errorf("%q: %w", line, err)
	}
	addr := netip.MustParseAddrPort(words[2] + ":" + words[4])
	return proxyHeaderConn{buffered{nc, r}, net.TCPAddrFromAddrPort(addr)}, nil
}

// TestSendProxyOverHTTP2: one connection is one request's, and closes behind it.
func TestSendProxyOverHTTP2(t *testing.T) {
	pair := newKeyPair(t, "a.example")
	cert, err := tls.X509KeyPair(pair.chain, pair.key)
	if err != nil {
		t.Fatal(err)
	}
	for _, secured := range []bool{false, true} {
		var open atomic.Int64
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "%s %s", r.Proto, r.RemoteAddr)
		}))
		l := &proxyHeaderListener{Listener: server.Listener}
		server.Listener = l
		server.Config.ErrorLog = log.New(io.Discard, "", 0)
		server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				open.Add(1)
			case http.StateClosed:
				open.Add(-1)
			}
		}
		service := "protocol=http2 send-proxy=v1"
		if secured {
			service = "protocol=negotiated send-proxy=v1 tls server-name=a.example name=a.example ca=configmap/ns/ca"
			server.TLS, server.EnableHTTP2 = &tls.Config{Certificates: []tls.Certificate{cert}}, true
			server.StartTLS()
		} else {
			server.Config.Protocols = new(http.Protocols)
			server.Config.Protocols.SetUnencryptedHTTP2(true)
			server.Start()
		}
		t.Cleanup(server.Close)
		r := newRig(t, nil)
		r.applySnapshot(securedRule(t, service, l.Addr().String(), pair.chain, nil))
		for i := range 3 {
			c := r.dial()
			c.send(get("/"))
			if got, want := bodyOf(c.answer("GET")), "HTTP/2.0 "+localAddr(c); got != want {
				t.Errorf("%q, and not %q", got, want)
			}
			if l.accepted.Load() != int64(i+1) {
				t.Errorf("%d connections for %d requests", l.accepted.Load(), i+1)
			}
		}
		eventually(t, "each was closed", func() bool { return open.Load() == 0 })
	}
}

// TestSendProxyToMirrors: a copy is its client's, too.
func TestSendProxyToMirrors(t *testing.T) {
	got := make(chan string, 1)
	b, mirror := newBackend(t, echo), newBackend(t, func(p *peer) {
		h, _ := p.readProxyHeader()
		p.message()
		got <- h.Source.String()
		p.send(text(""))
	})
	r := newRig(t, nil)
	r.apply(strings.Replace(rule("mirror=m:80*1/1", b.addr), "service", "service m:80 round-robin send-proxy=v2\nservice", 1) + "endpoint m:80 " + mirror.addr + "\n")
	c := r.dial()
	c.send(get("/"))
	c.answer("GET")
	if source := <-got; source != localAddr(c) {
		t.Errorf("%q, and not %q", source, localAddr(c))
	}
}

// TestSendProxyChanges: a service that begins to ask, or ceases to, gets other
// connections from then on.
func TestSendProxyChanges(t *testing.T) {
	b := newBackend(t, always(ok2))
	r := newRig(t, nil)
	plain, proxied := rule("", b.addr), withProxy(rule("", b.addr), "v1")
	for _, text := range []string{plain, proxied, plain} {
		if _, err := model.Parse(text); err != nil {
			t.Fatal(err)
		}
	}
	r.apply(plain)
	c := r.dial()
	c.send(get("/1"))
	c.answer("GET")
	r.apply(proxied)
	c.send(get("/2"))
	c.answer("GET") // by a backend that takes the header for nothing but a part of the message
	if !strings.Contains(b.bytes(), "PROXY TCP4") || b.connections() != 2 {
		t.Errorf("%d connections, %q", b.connections(), b.bytes())
	}
}
