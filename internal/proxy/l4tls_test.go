package proxy_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"

	"windrose.dev/windrose/internal/model"
)

// securedL4Route is a Snapshot with an L4 route of TCP at port 80 to a service that is
// asked for TLS, and another at port 81 whose listener shows ns/me.
func securedL4Route(t *testing.T, service, endpoint string, ca []byte, secrets map[string]keyPair) *model.Snapshot {
	t.Helper()
	parts := secure(t, `listener 80 tcp
listener 81 tcp
l4-route r 80 forward=s:1
l4-route me 81 forward=s:1
bundle configmap/ns/ca 00
service s:1 round-robin protocol=opaque `+service+`
endpoint s:1 `+endpoint+"\n", secrets).Parts
	parts.Bundles[0].PEM = ca
	if _, has := secrets["ns/me"]; has {
		parts.Config.Listeners[1].BackendCertificate = "ns/me"
	}
	return model.Freeze(parts)
}

// verified is what most services here ask for.
const verified = "tls name=a.example ca=configmap/ns/ca"

// heard is a connection of a backend, which keeps what is read from it.
type heard struct {
	net.Conn
	p *peer
}

func (h heard) Read(b []byte) (int, error) { return h.p.Read(b) }

// tlsPeer runs script on each connection to a backend that takes TLS off. What
// the handshake comes to is sent to shaken.
func tlsPeer(t *testing.T, pair keyPair, edit func(*tls.Config), shaken chan<- error, script func(*tls.Conn)) *backend {
	t.Helper()
	cert, err := tls.X509KeyPair(pair.chain, pair.key)
	if err != nil {
		t.Fatal(err)
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{cert}}
	if edit != nil {
		edit(cfg)
	}
	return newBackend(t, func(p *peer) {
		p.patient()
		conn := tls.Server(heard{p.nc, p}, cfg)
		err := conn.Handshake()
		if err == nil && script != nil {
			script(conn)
		} else if err == nil { // what comes is for nobody
			var data []byte
			if data, err = io.ReadAll(conn); len(data) > 0 {
				err = fmt.Errorf("%d bytes: %q", len(data), data)
			}
		}
		if shaken != nil {
			shaken <- err
		}
	})
}

// cut sends bytes to port 80, and waits until the connection is reset.
func (r *rig) cut(text string) {
	r.t.Helper()
	nc, err := net.Dial("tcp", r.addr(80))
	if errors.Is(err, syscall.ECONNRESET) {
		return // before Dial had a look at it
	}
	if err != nil {
		r.t.Fatal(err)
	}
	defer nc.Close()
	p := newPeer(r.t, nc)
	if text != "" {
		p.send(text)
	}
	p.broken()
}

// records are the types of those of TLS 1.2 in what a peer sent: 21 is an alert.
func records(t *testing.T, sent string) (types []byte) {
	t.Helper()
	for len(sent) >= 5 {
		types = append(types, sent[0])
		sent = sent[min(len(sent), 5+int(sent[3])<<8+int(sent[4])):]
	}
	return types
}

// Bytes go both ways through TLS of ours, few and many.
func TestL4RouteOverTLS(t *testing.T) {
	pair := newKeyPair(t, "a.example")
	b := tlsPeer(t, pair, nil, nil, func(c *tls.Conn) { io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c}) })
	r := newRig(t, nil)
	r.applySnapshot(securedL4Route(t, verified, b.addr, pair.chain, nil))
	c := r.dial()
	for i := range 20 {
		c.send(fmt.Sprint("message ", i))
		c.expect(fmt.Sprint("message ", i))
	}
	const size = 4 << 20
	go io.CopyN(c.nc, zeros{}, size)
	c.patient()
	if n, err := io.CopyN(io.Discard, c.r, size); n != size {
		t.Errorf("%d bytes came back: %v", n, err)
	}
	if got := b.bytes(); strings.Contains(got, "message") {
		t.Error("the backend's socket saw plain text")
	}
}

// A backend that is not whom the client means gets nothing of the client's, and
// the client sees an error, at once and not an end in order.
func TestL4RouteToAnotherThanAsked(t *testing.T) {
	good, other := newKeyPair(t, "a.example"), newKeyPair(t, "a.example")
	for _, test := range []struct {
		name, service string
		server        keyPair
		ca            []byte
		edit          func(*tls.Config)
	}{
		{"of an authority that is not ours", verified, other, good.chain, nil},
		{"of another name", "tls name=b.example ca=configmap/ns/ca", good, good.chain, nil},
		{"of another URI", "tls uri=spiffe://a/b ca=configmap/ns/ca", good, good.chain, nil},
		{"that asks for a certificate", verified, good, good.chain, func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert }},
		{"of an old version", verified, good, good.chain, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS11; c.MinVersion = tls.VersionTLS10 }},
	} {
		t.Run(test.name, func(t *testing.T) {
			shaken := make(chan error, 8)
			b := tlsPeer(t, test.server, test.edit, shaken, nil)
			r := newRig(t, nil)
			r.applySnapshot(securedL4Route(t, test.service, b.addr, test.ca, nil))
			r.cut("a secret of the client")
			if err := <-shaken; err == nil || strings.Contains(err.Error(), "bytes: ") {
				t.Errorf("the backend got: %v", err)
			}
			if got := b.bytes(); strings.Contains(got, "secret") {
				t.Errorf("the backend got %q", got)
			}
			r.log.wait(t, " 0 upstream_")
		})
	}
}

// A backend that does not speak TLS at all gets none of the client's bytes.
func TestL4RouteToPlainText(t *testing.T) {
	pair := newKeyPair(t, "a.example")
	b := newBackend(t, func(p *peer) {
		p.send("220 hello\r\n")
		p.rest()
	})
	r := newRig(t, nil)
	r.applySnapshot(securedL4Route(t, verified, b.addr, pair.chain, nil))
	r.cut("a secret of the client")
	if got := b.bytes(); strings.Contains(got, "secret") {
		t.Errorf("the backend got %q", got)
	}
}

// Without authorities nothing is sent, and nothing is even connected.
func TestL4RouteWithoutAuthorities(t *testing.T) {
	pair := newKeyPair(t, "a.example")
	b := tlsPeer(t, pair, nil, nil, nil)
	r := newRig(t, nil)
	reports, err := r.proxy.Apply(securedL4Route(t, verified, b.addr, []byte("nothing"), nil))
	if err != nil || len(reports) == 0 {
		t.Fatal(err, reports)
	}
	r.cut("")
	if n := b.connections(); n != 0 {
		t.Errorf("%d connections to a backend that cannot be verified", n)
	}
}

// The end of what a client sends is close_notify to the backend, which may go on
// to answer; and the backend's close_notify is the end for the client.
func TestL4RouteHalfCloseOverTLS(t *testing.T) {
	pair := newKeyPair(t, "a.example")
	b := tlsPeer(t, pair, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, nil, func(c *tls.Conn) {
		data, err := io.ReadAll(c)
		fmt.Fprintf(c, "after the end: %s, %v", data, err)
		c.CloseWrite()
	})
	r := newRig(t, nil)
	r.applySnapshot(securedL4Route(t, verified, b.addr, pair.chain, nil))
	c := r.dial()
	c.send("hello")
	c.nc.(*net.TCPConn).CloseWrite()
	c.expect("after the end: hello, <nil>")
	c.closed()
	if got := records(t, b.bytes()); len(got) == 0 || got[len(got)-1] != 21 {
		t.Errorf("no close_notify among records of types %d", got)
	}

	got := make(chan string, 1)
	b = tlsPeer(t, pair, nil, nil, func(c *tls.Conn) {
		io.WriteString(c, "all I have")
		c.CloseWrite()
		data, err := io.ReadAll(c)
		got <- fmt.Sprintf("%s, %v", data, err)
	})
	r.applySnapshot(securedL4Route(t, verified, b.addr, pair.chain, nil))
	c = r.dial()
	c.expect("all I have")
	c.closed()
	c.send("and I")
	c.nc.Close()
	if text := <-got; text != "and I, <nil>" {
		t.Errorf("%q", text)
	}
}

// A listener's certificate is shown for its own clients.
func TestL4RouteShowsTheListenersCertificate(t *testing.T) {
	pair, me := newKeyPair(t, "a.example"), newKeyPair(t, "me")
	b := tlsPeer(t, pair, func(c *tls.Config) { c.ClientAuth = tls.RequestClientCert }, nil, func(c *tls.Conn) {
		client := "nobody"
		if certs := c.ConnectionState().PeerCertificates; len(certs) > 0 {
			client = certs[0].Subject.CommonName
		}
		fmt.Fprintf(c, "hello %s.", client)
		io.Copy(io.Discard, c)
	})
	r := newRig(t, nil)
	r.applySnapshot(securedL4Route(t, verified, b.addr, pair.chain, map[string]keyPair{"ns/me": me}))
	for range 2 {
		r.dialTo(81).expect("hello me.")
		r.dialTo(80).expect("hello nobody.")
	}
}
