package proxy_test

import (
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"windrose.dev/windrose/internal/proxy"
	"windrose.dev/windrose/internal/proxy/wire/proxyproto"
)

// behindBalancer starts a rig that takes PROXY headers from loopback peers.
func behindBalancer(t *testing.T, edit func(*proxy.Config)) *rig {
	t.Helper()
	return newRig(t, func(cfg *proxy.Config) {
		cfg.ProxyProtocolFrom = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		if edit != nil {
			edit(cfg)
		}
	})
}

const proxyHeader = "PROXY TCP4 192.0.2.7 203.0.113.1 4321 80\r\n"

// binaryProxyHeader is a header of version 2 with a field about TLS.
func binaryProxyHeader(tls byte) string {
	h := proxyproto.AppendBinary(nil, netip.MustParseAddrPort("[2001:db8::7]:4321"), netip.MustParseAddrPort("[2001:db8::1]:8443"))
	h[15] += 8
	return string(append(h, 0x20, 0, 5, tls, 0, 0, 0, 0))
}

func TestProxyHeaderNamesTheClient(t *testing.T) {
	b := newBackend(t, echo)
	r := behindBalancer(t, nil)
	r.apply(rule("", b.addr))
	for _, test := range []struct{ header, client, port, proto string }{
		{proxyHeader, "192.0.2.7", "80", "http"},
		{"PROXY TCP4 192.0.2.7 203.0.113.1 4321 443\r\n", "192.0.2.7", "443", "https"}, // as with ingress-nginx
		{"PROXY TCP6 2001:db8::7 2001:db8::1 4321 8080\r\n", "2001:db8::7", "8080", "http"},
		{binaryProxyHeader(1), "2001:db8::7", "8443", "https"},
		{binaryProxyHeader(0), "2001:db8::7", "8443", "http"},
	} {
		c := r.dial()
		c.send(test.header + spoofed)
		got := c.answer("GET")
		for field, want := range map[string]string{
			"X-Forwarded-For": test.client, "X-Real-IP": test.client, "X-Forwarded-Port": test.port, "X-Forwarded-Proto": test.proto,
		} {
			if value := fieldOf(bodyOf(got), field); value != want {
				t.Errorf("%q: %s: %q, want %q", test.header, field, value, want)
			}
		}
		c.send(get("/again"))
		if got := c.answer("GET"); !strings.Contains(got, "GET /again") {
			t.Errorf("%q", got)
		}
	}
	r.log.wait(t, "client=192.0.2.7:4321")
	r.log.wait(t, "client=[2001:db8::7]:4321")
}

// TestProxyHeaderInPieces: a header may come byte by byte, and what comes with
// its end is the client's.
func TestProxyHeaderInPieces(t *testing.T) {
	b := newBackend(t, echo)
	r := behindBalancer(t, nil)
	r.apply(rule("", b.addr))
	c := r.dial()
	c.nc.(*net.TCPConn).SetNoDelay(true)
	for i := range proxyHeader {
		c.send(proxyHeader[i : i+1])
	}
	c.send(get("/"))
	if got := fieldOf(bodyOf(c.answer("GET")), "X-Real-IP"); got != "192.0.2.7" {
		t.Errorf("%q", got)
	}
}

// TestOwnProxyHeaders: of what a balancer sends on its own behalf, and of what
// it knows no address of, it is the client itself.
func TestOwnProxyHeaders(t *testing.T) {
	b := newBackend(t, echo)
	r := behindBalancer(t, nil)
	r.apply(rule("", b.addr))
	for _, header := range []string{"PROXY UNKNOWN\r\n", string(proxyproto.AppendBinary(nil, netip.AddrPort{}, netip.AddrPort{}))} {
		if got := fieldOf(bodyOf(r.ask(header+get("/"))), "X-Forwarded-For"); got != "127.0.0.1" {
			t.Errorf("%q: %q", header, got)
		}
	}
	if text := string(r.metrics.WriteText()); !strings.Contains(text, `windrose_proxy_headers_total{port="80",result="local"} 2`) {
		t.Error(text)
	}
}

func TestMissingProxyHeaders(t *testing.T) {
	b := newBackend(t, echo)
	r := behindBalancer(t, func(cfg *proxy.Config) { cfg.Limits.HeaderTimeout = 50 * time.Millisecond })
	r.apply(rule("", b.addr))
	for _, test := range []struct{ text, detail string }{
		{get("/"), "no PROXY header"},
		{"\x16\x03\x01\x02\x00", "no PROXY header"},
		{"PROXY TCP4 192.0.2.300 203.0.113.1 1 2\r\n" + get("/"), "no address of TCP4"},
		{"PROXY TCP4 192.0.2.7", "did not come in time"},
		{"", "did not come in time"},
	} {
		c := r.dial()
		c.send(test.text)
		c.patient()
		if got, _ := io.ReadAll(c.r); len(got) > 0 {
			t.Errorf("%q was answered with %q", test.text, got)
		}
		line := r.log.wait(t, test.detail)
		for _, part := range []string{" 0 bad_proxy_header tcp://:", " client=127.0.0.1:"} {
			if !strings.Contains(line, part) {
				t.Errorf("%q lacks %q", line, part)
			}
		}
	}
	r.dial().nc.Close() // a look whether the port is open
	eventually(t, "no connection is left", func() bool { return r.proxy.Connections() == 0 })
	if text := string(r.metrics.WriteText()); !strings.Contains(text, `windrose_proxy_headers_total{port="80",result="invalid"} 5`) {
		t.Error(text)
	}
	if got := b.bytes(); got != "" {
		t.Errorf("the backend got %q", got)
	}
}

// TestProxyHeadersOfOthers: a header of a peer that may not send them is not
// looked for, and so it is no HTTP.
func TestProxyHeadersOfOthers(t *testing.T) {
	b := newBackend(t, echo)
	r := newRig(t, func(cfg *proxy.Config) { cfg.ProxyProtocolFrom = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} })
	r.apply(rule("", b.addr))
	for _, header := range []string{proxyHeader, binaryProxyHeader(1)} {
		if got := r.ask(header + get("/")); statusOf(got) != 400 {
			t.Errorf("%q", got)
		}
	}
	if got := statusOf(r.ask(get("/"))); got != 200 {
		t.Error(got)
	}
}

// TestTrustOfProxyHeaderClients: what a client says of others is believed if its
// own address is trusted, whatever the balancer is.
func TestTrustOfProxyHeaderClients(t *testing.T) {
	b := newBackend(t, echo)
	for _, test := range []struct{ trusted, want string }{
		{"127.0.0.0/8", "192.0.2.7"},
		{"192.0.2.0/24", "6.6.6.6, 7.7.7.7, 192.0.2.7"},
	} {
		r := behindBalancer(t, func(cfg *proxy.Config) { cfg.Trusted = []netip.Prefix{netip.MustParsePrefix(test.trusted)} })
		r.apply(rule("", b.addr))
		if got := fieldOf(bodyOf(r.ask(proxyHeader+spoofed)), "X-Forwarded-For"); got != test.want {
			t.Errorf("with %s trusted: %q, want %q", test.trusted, got, test.want)
		}
	}
}

// TestTrustOfUnknownClients: a balancer that is trusted, and that does not say
// whose a connection is, lends the client nothing of that; on its own behalf it
// is believed.
func TestTrustOfUnknownClients(t *testing.T) {
	const forged = "GET / HTTP/1.1\r\nHost: a.example\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Client-Cert: Hash=00\r\n\r\n"
	b := newBackend(t, echo)
	r := behindBalancer(t, func(cfg *proxy.Config) {
		cfg.Trusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		cfg.Limits.ConnectionsPerClient = 1 // the balancer is not one client
	})
	r.apply(rule("", b.addr))
	r.dial().send("PROXY UNKNOWN\r\n")
	for header, want := range map[string][2]string{
		"PROXY UNKNOWN\r\n":                                                 {"127.0.0.1", ""},
		"\r\n\r\n\x00\r\nQUIT\n\x21\x00\x00\x00":                            {"127.0.0.1", ""},                 // UNSPEC
		"\r\n\r\n\x00\r\nQUIT\n\x21\x31\x00\xd8" + strings.Repeat("x", 216): {"127.0.0.1", ""},                 // Unix sockets
		"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00":                            {"6.6.6.6, 127.0.0.1", "Hash=00"}, // LOCAL
	} {
		got := bodyOf(r.ask(header + forged))
		if chain, cert := fieldOf(got, "X-Forwarded-For"), fieldOf(got, "X-Forwarded-Client-Cert"); chain != want[0] || cert != want[1] {
			t.Errorf("%.20q: %q and %q, want %q", header, chain, cert, want)
		}
	}
}

// TestProxyHeadersAreCounted: the bound is on the connections of a client,
// and not on those of the balancer before it.
func TestProxyHeadersAreCounted(t *testing.T) {
	b := newBackend(t, echo)
	r := behindBalancer(t, func(cfg *proxy.Config) { cfg.Limits.ConnectionsPerClient = 1 })
	r.apply(rule("", b.addr))
	open := map[string]*peer{}
	for _, client := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.3"} {
		open[client] = r.dial()
		open[client].send("PROXY TCP4 " + client + " 203.0.113.1 1 80\r\n" + get("/"))
		if got := open[client].answer("GET"); statusOf(got) != 200 {
			t.Fatalf("%q", got)
		}
	}
	second := func() string {
		c := r.dial()
		defer c.nc.Close()
		c.send("PROXY TCP4 192.0.2.2 203.0.113.1 1 80\r\n" + get("/"))
		c.patient()
		head, _ := c.r.Peek(12)
		return string(head)
	}
	if got := second(); got != "" {
		t.Errorf("a second connection got %q", got)
	}
	open["192.0.2.2"].nc.Close()
	eventually(t, "there is room again", func() bool { return second() == "HTTP/1.1 200" })
	if text := string(r.metrics.WriteText()); !strings.Contains(text, `windrose_connections_refused_total{port="80"} `) {
		t.Error(text)
	}
}

func TestProxyHeaderBeforeHTTP2(t *testing.T) {
	b := newBackend(t, echo)
	r := behindBalancer(t, nil)
	r.apply(rule("", b.addr))
	c := r.dial()
	// The preface, SETTINGS, and nothing more: the proxy's own come back.
	c.send(proxyHeader + "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
	c.patient()
	frame := make([]byte, 9)
	if _, err := io.ReadFull(c.r, frame); err != nil || frame[3] != 4 {
		t.Errorf("%x, %v", frame, err)
	}
}

// sendingProxyHeader has the bytes of a connection begin with a header, in one write
// with the client's first.
type sendingProxyHeader struct {
	net.Conn
	header []byte
}

func (a *sendingProxyHeader) Write(p []byte) (int, error) {
	n := len(a.header)
	sent, err := a.Conn.Write(append(a.header, p...))
	a.header = nil
	return max(sent-n, 0), err
}

// TestProxyHeaderBeforeTLS: the header is before the ClientHello, whoever takes
// TLS off.
func TestProxyHeaderBeforeTLS(t *testing.T) {
	raw, plain, web := tlsBackend(t, "the backend's"), newBackend(t, repeat), newBackend(t, echo)
	r := behindBalancer(t, nil)
	r.applySnapshot(mixedSnapshot(t, raw, plain, web))
	for _, test := range []struct{ name, certificate, say, hear string }{
		{"raw.example", "the backend's", "hello", "hello"},
		{"plain.example", "plain", "hello", "hello"},
		{"web.example", "web", "GET / HTTP/1.1\r\nHost: web.example\r\n\r\n", "X-Real-IP: 192.0.2.7\r\n"},
	} {
		nc, err := net.Dial("tcp", r.addr(443))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { nc.Close() })
		conn := tls.Client(&sendingProxyHeader{nc, []byte(proxyHeader)}, &tls.Config{ServerName: test.name, InsecureSkipVerify: true})
		if err := conn.Handshake(); err != nil {
			t.Fatal(test.name, err)
		}
		if got := conn.ConnectionState().PeerCertificates[0].Subject.CommonName; got != test.certificate {
			t.Errorf("%s: %q", test.name, got)
		}
		c := newPeer(t, conn)
		c.send(test.say)
		if test.name == "web.example" {
			if got := c.answer("GET"); !strings.Contains(got, test.hear) {
				t.Errorf("%q", got)
			}
			continue
		}
		c.expect(test.hear)
		conn.CloseWrite()
		c.closed()
		nc.Close()
		if line := r.log.wait(t, "://"+test.name); !strings.Contains(line, " client=192.0.2.7:4321 ") {
			t.Error(line)
		}
	}
}

func TestProxyHeaderBeforeL4Route(t *testing.T) {
	b := newBackend(t, repeat)
	r := behindBalancer(t, nil)
	r.apply(l4Route("forward=s:1", b.addr))
	c := r.dial()
	c.send(proxyHeader + "hello")
	c.expect("hello")
	c.nc.(*net.TCPConn).CloseWrite()
	c.closed()
	if line := r.log.wait(t, "tcp://:"); !strings.Contains(line, " ok ") || !strings.Contains(line, " in=5 out=5 client=192.0.2.7:4321 ") {
		t.Error(line)
	}
}

// TestProxyHeaderServerFirst: a header alone is enough for a server that
// speaks first.
func TestProxyHeaderServerFirst(t *testing.T) {
	b := newBackend(t, func(p *peer) { p.send("220 hello\n") })
	r := behindBalancer(t, nil)
	r.apply(l4Route("forward=s:1", b.addr))
	c := r.dial()
	c.send(proxyHeader)
	c.expect("220 hello\n")
}

// TestDrainDoesNotWaitForProxyHeaders: a balancer that has connected and says
// nothing is waited for a moment.
func TestDrainDoesNotWaitForProxyHeaders(t *testing.T) {
	b := newBackend(t, echo)
	r := behindBalancer(t, nil)
	r.apply(rule("", b.addr))
	c := r.dial()
	eventually(t, "it is accepted", func() bool { return r.proxy.Connections() == 1 })
	start := time.Now()
	if cut := r.stop(); cut != 0 || time.Since(start) > 10*time.Second {
		t.Errorf("%d were cut, after %s", cut, time.Since(start))
	}
	c.closed()
}
