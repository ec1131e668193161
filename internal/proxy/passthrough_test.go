package proxy_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy"
)

// secure is a Snapshot whose secrets have their keys, by name.
func secure(t *testing.T, text string, pairs map[string]keyPair) *model.Snapshot {
	t.Helper()
	for name := range pairs {
		text += "secret " + name + " 00\n"
	}
	s, err := model.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	parts := s.Parts
	for i := range parts.Secrets {
		pair := pairs[parts.Secrets[i].Name]
		parts.Secrets[i].Chain, parts.Secrets[i].Key = pair.chain, pair.key
	}
	return model.Freeze(parts)
}

// tlsBackend takes TLS off itself, shows a certificate of its own, and sends
// back what comes.
func tlsBackend(t *testing.T, name string) *backend {
	t.Helper()
	pair := newKeyPair(t, name)
	cert, err := tls.X509KeyPair(pair.chain, pair.key)
	if err != nil {
		t.Fatal(err)
	}
	return newBackend(t, func(p *peer) {
		conn := tls.Server(p.nc, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"x/1"}})
		io.Copy(struct{ io.Writer }{conn}, conn)
		conn.CloseWrite()
	})
}

// mixed serves raw.example and *.raw.example to the backend that owns them,
// takes TLS off for plain.example, and has HTTP for web.example, all at one
// port.
func mixed(t *testing.T) *rig {
	raw, plain, web := tlsBackend(t, "the backend's"), newBackend(t, repeat), newBackend(t, echo)
	r := newRig(t, nil)
	r.applySnapshot(mixedSnapshot(t, raw, plain, web))
	return r
}

func mixedSnapshot(t *testing.T, raw, plain, web *backend) *model.Snapshot {
	t.Helper()
	return secure(t, `listener 443 https
certificate 443 plain.example ns/plain
certificate 443 web.example ns/web
host web.example 443
block test by-specificity
rule w prefix:/ forward=web:80
l4-route raw 443 name=raw.example forward=raw:443
l4-route raw 443 name=*.raw.example forward=raw:443
l4-route plain 443 name=plain.example terminate forward=plain:1
service raw:443 round-robin
service plain:1 round-robin
service web:80 round-robin
endpoint raw:443 `+raw.addr+`
endpoint plain:1 `+plain.addr+`
endpoint web:80 `+web.addr+`
`, map[string]keyPair{"ns/plain": newKeyPair(t, "plain"), "ns/web": newKeyPair(t, "web")})
}

func TestPassthroughTerminateAndHTTPAtOnePort(t *testing.T) {
	r := mixed(t)
	for _, test := range []struct {
		name, certificate, protocol string
		offer                       []string
		curve                       tls.CurveID
	}{
		{"raw.example", "the backend's", "x/1", []string{"x/1", "http/1.1"}, tls.X25519MLKEM768},
		{"RAW.example", "the backend's", "", nil, tls.X25519},
		{"a.raw.example", "the backend's", "x/1", []string{"x/1"}, tls.CurveP256},
		{"plain.example", "plain", "", []string{"http/1.1"}, tls.X25519MLKEM768}, // nobody knows what the backend speaks
		{"web.example", "web", "http/1.1", []string{"http/1.1"}, tls.X25519MLKEM768},
	} {
		c, conn, err := r.shake(&tls.Config{ServerName: test.name, NextProtos: test.offer, CurvePreferences: []tls.CurveID{test.curve}})
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		state := conn.ConnectionState()
		if got := state.PeerCertificates[0].Subject.CommonName; got != test.certificate || state.NegotiatedProtocol != test.protocol {
			t.Errorf("%s: certificate %q and protocol %q", test.name, got, state.NegotiatedProtocol)
		}
		if test.name == "web.example" {
			c.send("GET / HTTP/1.1\r\nHost: web.example\r\n\r\n")
			if got := c.answer("GET"); statusOf(got) != 200 {
				t.Errorf("%s: %q", test.name, got)
			}
			continue
		}
		for i := range 3 {
			c.send(fmt.Sprint("hello ", i))
			c.expect(fmt.Sprint("hello ", i))
		}
		conn.CloseWrite()
		c.closed()
		conn.Close()
	}
	r.log.wait(t, " 0 ok tls://a.raw.example:")
	r.log.wait(t, " 0 ok tls://plain.example:")
}

// TestUnknownServerNames: where nothing is routed the connection is refused, and
// where HTTP has the rest it is HTTP's to refuse.
func TestUnknownServerNames(t *testing.T) {
	r := mixed(t)
	for _, name := range []string{"", "other.example", "a.b.raw.example"} {
		if _, _, err := r.shake(&tls.Config{ServerName: name}); err == nil || !strings.Contains(err.Error(), "unrecognized name") {
			t.Errorf("%q: %v", name, err)
		}
	}
	raw := tlsBackend(t, "the backend's")
	r = newRig(t, nil)
	r.apply(l4Routes("listener 443 tls\nl4-route raw 443 name=raw.example forward=s:1\n", raw.addr))
	for _, name := range []string{"", "other.example", "a.raw.example"} {
		if _, _, err := r.shake(&tls.Config{ServerName: name}); err == nil || !strings.Contains(err.Error(), "reset") {
			t.Errorf("%q: %v", name, err)
		}
	}
	r.log.wait(t, " 0 no_route tls://a.raw.example:")
}

// TestHelloInPieces: whatever way a ClientHello comes in, all of it reaches the
// backend.
func TestHelloInPieces(t *testing.T) {
	raw := tlsBackend(t, "the backend's")
	r := newRig(t, nil)
	r.apply(l4Routes("listener 443 tls\nl4-route raw 443 name=raw.example forward=s:1\n", raw.addr))
	for _, size := range []int{1, 100, 1400} {
		nc, err := net.Dial("tcp", r.addr(443))
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		conn := tls.Client(&pieces{Conn: nc, size: size}, &tls.Config{ServerName: "raw.example", InsecureSkipVerify: true})
		conn.SetDeadline(time.Now().Add(patience))
		c := newPeer(t, conn)
		c.send("hello")
		c.expect("hello")
	}
}

// pieces writes in segments of size bytes.
type pieces struct {
	net.Conn
	size int
}

func (p *pieces) Write(b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var m int
		m, err = p.Conn.Write(b[n:min(n+p.size, len(b))])
		n += m
	}
	return n, err
}

// TestHostileHellos: none is passed on, and each is logged.
func TestHostileHellos(t *testing.T) {
	b := newBackend(t, repeat)
	r := newRig(t, nil)
	r.apply(l4Routes("listener 80 tls\nl4-route raw 80 name=* forward=s:1\n", b.addr))
	for hello, detail := range map[string]string{
		"GET / HTTP/1.1\r\n\r\n":                                             "the first bytes are no TLS ClientHello",
		"\x16\x03\x01\x00\x00":                                               "the ClientHello is malformed: a record of 0 bytes",
		"\x16\x03\x01\x00\x04\x01\x00\xff\x00":                               "the ClientHello is longer than 16384 bytes",
		"\x16\x03\x01\x00\x04\x01\x00\x00\x00":                               "the ClientHello is malformed: a length that is not so",
		"\x16\x03\x01\x40\x00\x01\x00\x3f\xff" + strings.Repeat("x", 16<<10): "the ClientHello is longer than 16384 bytes",
	} {
		c := r.dial()
		c.send(hello)
		c.broken()
		r.log.wait(t, ` detail="`+detail+`"`)
	}
	c := r.dial()
	c.send("\x16\x03\x01")
	c.nc.(*net.TCPConn).CloseWrite()
	c.rest()
	r.log.wait(t, ` detail="the ClientHello is not complete"`)
	if b.connections() > 0 {
		t.Error("the backend was reached")
	}
	eventually(t, "no connection is left", func() bool { return r.proxy.Connections() == 0 })
}

// TestSlowHellosAreBounded: clients that send a part of a ClientHello and wait
// hold no more memory than buffers may.
func TestSlowHellosAreBounded(t *testing.T) {
	b := newBackend(t, repeat)
	r := newRig(t, func(cfg *proxy.Config) { cfg.Limits.BufferBytes, cfg.DrainWait = 1, time.Millisecond }) // 64 buffers at least
	r.apply(l4Routes("listener 80 tls\nl4-route raw 80 name=* forward=s:1\n", b.addr))
	for range 80 {
		r.dial().send("\x16\x03\x01")
	}
	r.log.wait(t, " overloaded tls://")
}

// TestSwapsUnderL4Routes: connections of every kind live through changes of their
// rules, endpoints and neighbours.
func TestSwapsUnderL4Routes(t *testing.T) {
	r := mixed(t)
	base := r.proxy.Generation().Snapshot
	stop, ready := make(chan struct{}), make(chan struct{}, 9)
	var talking sync.WaitGroup
	for _, name := range []string{"raw.example", "b.raw.example", "plain.example"} {
		c, _, err := r.shake(&tls.Config{ServerName: name})
		if err != nil {
			t.Fatal(err)
		}
		talking.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				c.send(name)
				c.expect(name)
				if i == 0 {
					ready <- struct{}{}
				}
			}
		})
	}
	for range 3 {
		<-ready
	}
	for i := range 50 {
		parts := base.Parts
		parts.Config.L4Routes = append([]model.L4Route{}, parts.Config.L4Routes...)
		switch i % 3 {
		case 0:
			parts.Config.L4Routes = parts.Config.L4Routes[:1]
		case 1:
			parts.Config.L4Routes[0].IdleTimeout = time.Duration(i) * time.Hour
		}
		r.applySnapshot(model.Freeze(parts))
	}
	close(stop)
	talking.Wait()
}

// A request for a host that is passed through does not go to a rule that takes any
// host: browsers send it on connections whose certificate covers it.
func TestHostsOfL4RoutesAreMisdirected(t *testing.T) {
	raw, plain, web := tlsBackend(t, "the backend's"), newBackend(t, repeat), newBackend(t, echo)
	s := mixedSnapshot(t, raw, plain, web)
	s.Config.Hosts[0].Name = "*"
	r := newRig(t, nil)
	r.applySnapshot(model.Freeze(s.Parts))
	for host, want := range map[string]int{
		"web.example": 200, "other.example": 200, "raw.example": 421, "a.raw.example": 421, "plain.example:443": 421,
	} {
		c, _, err := r.shake(&tls.Config{ServerName: "web.example"})
		if err != nil {
			t.Fatal(err)
		}
		c.send("GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
		if got := statusOf(c.answer("GET")); got != want {
			t.Errorf("%s: %d, want %d", host, got, want)
		}
	}
}
