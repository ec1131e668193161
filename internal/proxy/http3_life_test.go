package proxy_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	quichttp3 "github.com/quic-go/quic-go/http3"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy"
	"windrose.dev/windrose/internal/proxy/settings"
	"windrose.dev/windrose/internal/reason"
)

// shake3 makes a connection, and returns its state or why there is none.
func (r *rig) shake3(cfg *tls.Config) (tls.ConnectionState, error) {
	r.t.Helper()
	cfg.InsecureSkipVerify, cfg.NextProtos = true, []string{"h3"}
	conn, err := quic.DialAddr(patientContext(r.t), r.addr(443), cfg, nil)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer conn.CloseWithError(0x100, "")
	_, err = conn.AcceptUniStream(patientContext(r.t)) // the proxy has the client's part of the handshake, too
	return conn.ConnectionState().TLS, err
}

// alert is that of a handshake that failed.
func alert(err error) string {
	var broken *quic.TransportError
	if errors.As(err, &broken) && broken.ErrorCode.IsCryptoError() {
		return tls.AlertError(uint8(broken.ErrorCode - 0x100)).Error()
	}
	return fmt.Sprint(err)
}

func TestHTTP3ServerNames(t *testing.T) {
	b := newBackend(t, always(ok2))
	r := newRig3(t, nil)
	certificates := map[string]keyPair{}
	for _, name := range []string{"a.example", "*.a.example"} {
		certificates[name] = newKeyPair(t, name)
	}
	r.applySnapshot(tlsRule(t, b.addr, certificates))
	for name, want := range map[string]string{
		"a.example": "a.example", "b.a.example": "*.a.example", "c.b.a.example": "tls: unrecognized name", "": "tls: unrecognized name",
	} {
		state, err := r.shake3(&tls.Config{ServerName: name})
		got := alert(err)
		if err == nil {
			got = state.PeerCertificates[0].Subject.CommonName
		}
		if got != want {
			t.Errorf("%q: %s, want %s", name, got, want)
		}
	}
	eventually(t, "failed handshakes are counted", func() bool {
		return strings.Contains(string(r.metrics.WriteText()), `windrose_tls_handshakes_total{port="443",result="failed"} 2`)
	})
	r.log.wait(t, "handshake_failed")
	if _, err := r.shake3(&tls.Config{ServerName: "a.example", NextProtos: nil, MaxVersion: tls.VersionTLS12}); err == nil {
		t.Error("QUIC with TLS 1.2")
	}
}

// TestHTTP3Resumption: sessions live through swaps, and not through a change of
// the certificate; no data comes with them before the handshake is done.
func TestHTTP3Resumption(t *testing.T) {
	b, other := newBackend(t, always(ok2)), newBackend(t, always(ok2))
	first, second := newKeyPair(t, "x"), newKeyPair(t, "x")
	r := newRig3(t, nil)
	cache := tls.NewLRUClientSessionCache(4)
	resumes := func() bool {
		c := r.client3(func(cfg *tls.Config) { cfg.ClientSessionCache = cache })
		defer c.Close()
		req := c.request("GET", "/", nil)
		req.Method = quichttp3.MethodGet0RTT
		_, _, answer := c.do(req) // with it come the tickets
		return answer.TLS.DidResume
	}
	for _, step := range []struct {
		name    string
		backend *backend
		pair    keyPair
		want    bool
	}{
		{"out of nothing", b, first, false},
		{"as it was", b, first, true},
		{"after a swap", other, first, true},
		{"under another certificate", other, second, false},
		{"under the new certificate", other, second, true},
	} {
		r.applySnapshot(tlsRule(t, step.backend.addr, map[string]keyPair{"*": step.pair}))
		if got := resumes(); got != step.want {
			t.Errorf("%s: resumed %v", step.name, got)
		}
	}
}

func TestHTTP3ClientCertificates(t *testing.T) {
	b := newBackend(t, always(ok2))
	server, ours, theirs := newKeyPair(t, "x"), newAuthority(t), newAuthority(t)
	for _, mode := range []model.ClientAuthMode{model.RequireCertificate, model.RequestCertificate} {
		r := newRig3(t, nil)
		r.applySnapshot(asking(t, b.addr, server, mode, ours.pem))
		for name, client := range map[string][]tls.Certificate{"ours": {ours.client(nil)}, "theirs": {theirs.client(nil)}, "none": nil} {
			c := r.client3(func(cfg *tls.Config) { cfg.Certificates = client })
			answer, err := c.RoundTrip(c.request("GET", "/", nil))
			if served := err == nil && answer.StatusCode == 200; served != (name == "ours" || mode == model.RequestCertificate) {
				t.Errorf("mode %d, %s: %v", mode, name, err)
			}
		}
		s := asking(t, b.addr, server, mode, []byte("nothing"))
		if reports, err := r.proxy.Apply(s); err != nil || len(reports) != 1 || reports[0].Code != reason.BundleInvalid {
			t.Errorf("%v %v", err, reports)
		}
		if _, err := r.shake3(&tls.Config{Certificates: []tls.Certificate{ours.client(nil)}}); err == nil {
			t.Error("a client is let in, and there is no authority")
		}
	}
}

// TestHTTP3ClientsLeaveWithTheirPolicy: who was let in under one policy shakes
// hands anew under the next, and what is under way ends in order.
func TestHTTP3ClientsLeaveWithTheirPolicy(t *testing.T) {
	working, finish := newSignal(), newSignal()
	b := newBackend(t, func(p *peer) {
		for m := p.head(); m != ""; m = p.head() {
			if strings.HasPrefix(m, "GET /slow") {
				working.fire()
				finish.wait(t, "the policy has changed")
			}
			p.send(ok2)
		}
	})
	server, ca := newKeyPair(t, "x"), newAuthority(t)
	r := newRig3(t, nil)
	r.applySnapshot(tlsRule(t, b.addr, map[string]keyPair{"*": server}))
	busy, idle := r.client3(nil), r.raw()
	done := make(chan string)
	go func() {
		_, body := busy.get("/slow")
		done <- body
	}()
	working.wait(t, "the request reaches the backend")
	io.ReadAll(idle.ask(true, getFields()))
	r.applySnapshot(asking(t, b.addr, server, model.RequireCertificate, ca.pem))
	if code := idle.connCode(); code != 0x100 {
		t.Errorf("the idle connection ends with %#x", code)
	}
	finish.fire()
	if body := <-done; body != "ok" {
		t.Errorf("%q", body)
	}
	eventually(t, "no connection is left", func() bool { return r.proxy.Connections() == 0 })
	if _, err := busy.RoundTrip(busy.request("GET", "/", nil)); err == nil {
		t.Error("a client without a certificate is served")
	}
}

// load3 runs clients that never retry, until it is stopped. It returns how many
// answers came.
func (r *rig) load3(clients int, check func(*http.Response, string) error) (stop func() int64) {
	var answered atomic.Int64
	var running sync.WaitGroup
	done := make(chan struct{})
	for i := range clients {
		c := r.client3(nil)
		running.Go(func() {
			for request := 0; ; request++ {
				select {
				case <-done:
					return
				default:
				}
				var body io.Reader
				method := "GET"
				if (request+i)%3 == 0 {
					method, body = "POST", strings.NewReader(strings.Repeat("x", request%50*100))
				}
				answer, err := c.RoundTrip(c.request(method, "/x", body))
				var text []byte
				if err == nil {
					text, err = io.ReadAll(answer.Body)
				}
				if err == nil {
					err = check(answer, string(text))
				}
				if err != nil {
					r.t.Errorf("client %d, request %d: %v", i, request, err)
					return
				}
				answered.Add(1)
			}
		})
	}
	return func() int64 {
		close(done)
		running.Wait()
		return answered.Load()
	}
}

// TestHTTP3SwapsUnderLoad: no request is lost while routes, backends and
// certificates change, and new connections get the new certificate.
func TestHTTP3SwapsUnderLoad(t *testing.T) {
	backends := numbered(t, 3)
	pairs := []keyPair{newKeyPair(t, "first"), newKeyPair(t, "second")}
	r := newRig3(t, nil)
	apply := func(n int) {
		r.applySnapshot(tlsRule(t, backends[n%3].addr, map[string]keyPair{"*": pairs[n%2]}))
	}
	apply(0)
	stop := r.load3(6, func(answer *http.Response, body string) error {
		if answer.StatusCode != 200 || !strings.HasPrefix(body, "backend ") {
			return fmt.Errorf("%d %q", answer.StatusCode, body)
		}
		return nil
	})
	for n := 1; n <= 40; n++ {
		apply(n)
		state, err := r.shake3(&tls.Config{})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := state.PeerCertificates[0].Subject.CommonName, []string{"first", "second"}[n%2]; got != want {
			t.Errorf("swap %d: certificate %s, want %s", n, got, want)
		}
	}
	t.Logf("%d answers", stop())
}

// TestHTTP3Drain: a drain asks clients to leave, finishes what is under way,
// and cuts nothing.
func TestHTTP3Drain(t *testing.T) {
	working, finish := newSignal(), newSignal()
	r, _ := serve3(t, func(p *peer) {
		for m := p.head(); m != ""; m = p.head() {
			if strings.HasPrefix(m, "GET /slow") {
				working.fire()
				finish.wait(t, "the drain has begun")
			}
			p.send(ok2)
		}
	})
	busy, idle := r.client3(nil), r.raw()
	io.ReadAll(idle.ask(true, getFields()))
	done := make(chan string)
	go func() {
		_, body := busy.get("/slow")
		done <- body
	}()
	working.wait(t, "the request reaches the backend")
	control, err := idle.AcceptUniStream(patientContext(t))
	if err != nil {
		t.Fatal(err)
	}
	stopped := make(chan int)
	go func() { stopped <- r.stop() }()
	control.SetReadDeadline(time.Now().Add(patience))
	said, _ := io.ReadAll(control)
	// The kind of the stream, SETTINGS, a GOAWAY that lets requests come that are on
	// their way, and one that does not (RFC 9114 §5.2).
	want := "\x00" + "\x04\x05\x06\x80\x00\x80\x00" + "\x07\x08\xff\xff\xff\xff\xff\xff\xff\xfc" + "\x07\x01\x04"
	if string(said) != want {
		t.Errorf("we said %x, not %x", said, want)
	}
	if code := idle.connCode(); code != 0x100 {
		t.Errorf("the idle connection ends with %#x", code)
	}
	finish.fire()
	if body := <-done; body != "ok" {
		t.Errorf("%q", body)
	}
	if cut := <-stopped; cut != 0 {
		t.Errorf("%d connections were cut", cut)
	}
}

// TestHTTP3LateRequests: a request behind the last GOAWAY is refused in the words
// that let it be sent elsewhere.
func TestHTTP3LateRequests(t *testing.T) {
	working, finish := newSignal(), newSignal()
	r, _ := serve3(t, func(p *peer) {
		if p.head() != "" {
			working.fire()
			finish.wait(t, "the late request is refused")
			p.send(ok2)
		}
	})
	c := r.raw()
	under := c.ask(true, getFields())
	working.wait(t, "the request reaches the backend")
	parts := tlsRule(t, "127.0.0.1:1", map[string]keyPair{"*": newKeyPair(t, "x")}).Parts
	parts.Config.Listeners = parts.Config.Listeners[:1] // port 443 is no more
	parts.Config.Hosts[0].Listeners = parts.Config.Hosts[0].Listeners[:1]
	r.applySnapshot(freeze(parts))
	if code := streamCode(t, c.ask(true, getFields())); code != 0x10b {
		t.Errorf("%#x, want H3_REQUEST_REJECTED", code)
	}
	finish.fire()
	if answer, err := io.ReadAll(under); err != nil || !strings.HasSuffix(string(answer), "ok") {
		t.Errorf("%q %v", answer, err)
	}
	c.connCode()
}

func TestHTTP3ConnectionLimits(t *testing.T) {
	b := newBackend(t, always(ok2))
	for name, edit := range map[string]func(*proxy.Config){
		"per client": func(cfg *proxy.Config) { cfg.Limits.ConnectionsPerClient = 3 },
		"in total":   func(cfg *proxy.Config) { cfg.Limits.Connections = 3 },
		"of the trusted": func(cfg *proxy.Config) {
			cfg.Limits.ConnectionsPerClient, cfg.Limits.Connections = 1, 3
			cfg.Trusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
		},
	} {
		r := newRig3(t, edit)
		r.applySnapshot(tlsRule(t, b.addr, map[string]keyPair{"*": newKeyPair(t, "x")}))
		var open []*client3
		for range 3 {
			c := r.client3(nil)
			if status, _ := c.get("/"); status != 200 {
				t.Fatal(status)
			}
			open = append(open, c)
		}
		c := r.client3(nil)
		if _, err := c.RoundTrip(c.request("GET", "/", nil)); err == nil {
			t.Errorf("%s: one too many is served", name)
		}
		open[0].Close()
		eventually(t, "there is room again", func() bool { return r.proxy.Connections() == 2 })
		if status, _ := r.client3(nil).get("/"); status != 200 {
			t.Errorf("%s: %d", name, status)
		}
	}
}

// TestHTTP3Streams: one connection has no more requests under way than the
// limit, whatever it does to them.
func TestHTTP3Streams(t *testing.T) {
	reached, finish := make(chan struct{}, 8), newSignal()
	b := newBackend(t, func(p *peer) {
		if p.head() != "" {
			reached <- struct{}{}
			finish.wait(t, "the others wait")
			p.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
		}
	})
	r := limited(t, func(l *settings.Limits) { l.Streams = 2 })
	r.applySnapshot(tlsRule(t, b.addr, map[string]keyPair{"*": newKeyPair(t, "x")}))
	c := r.raw()
	var all []*quic.Stream
	for range 2 {
		all = append(all, c.ask(true, getFields()))
		<-reached
	}
	if _, err := c.OpenStream(); err == nil {
		t.Error("a third stream")
	}
	finish.fire()
	for _, s := range all {
		if answer, err := io.ReadAll(s); err != nil || !strings.HasSuffix(string(answer), "ok") {
			t.Errorf("%q %v", answer, err)
		}
	}
	if answer, err := io.ReadAll(c.ask(true, getFields())); err != nil || !strings.HasSuffix(string(answer), "ok") {
		t.Errorf("%q %v", answer, err)
	}
}

func TestHTTP3IdleConnections(t *testing.T) {
	b := newBackend(t, always(ok2))
	r := limited(t, func(l *settings.Limits) { l.IdleTimeout = 50 * time.Millisecond })
	r.applySnapshot(tlsRule(t, b.addr, map[string]keyPair{"*": newKeyPair(t, "x")}))
	c := r.raw()
	io.ReadAll(c.ask(true, getFields()))
	if code := c.connCode(); code != 0x100 {
		t.Errorf("%#x, want H3_NO_ERROR", code)
	}
	eventually(t, "no connection is left", func() bool { return r.proxy.Connections() == 0 })
}

// TestHTTP3Overload: what would need more memory than there is is turned away.
func TestHTTP3Overload(t *testing.T) {
	finish, reached := newSignal(), make(chan struct{}, 200)
	b := newBackend(t, func(p *peer) {
		if p.head() != "" {
			reached <- struct{}{}
			finish.wait(t, "the limit is reached")
		}
	})
	defer finish.fire()
	r := newRig3(t, func(cfg *proxy.Config) { cfg.Limits.BufferBytes = 1 })
	r.applySnapshot(tlsRule(t, b.addr, map[string]keyPair{"*": newKeyPair(t, "x")}))
	// Half a frame behind what was taken holds a buffer of 16 KiB, and QUIC may hold
	// 64 KiB of a body; 64 buffers are the least limit.
	c := r.raw()
	upload := append(fields(":method", "POST", ":scheme", "https", ":authority", "a.example", ":path", "/"), 0, 1, 'x', 0x40)
	const each = (16 + 64) / 16
	for range 64 / r.metrics.ShardCount() / each {
		c.ask(false, upload)
		<-reached
	}
	if answer, err := io.ReadAll(c.ask(false, upload)); err != nil || !strings.Contains(string(answer), "outcome: overloaded") {
		t.Errorf("%q %v", answer, err)
	}
}

// Nothing is taken before a handshake is done: what is sent that way can be replayed
// (RFC 8470), and a ticket does not offer it.
func TestHTTP3TakesNoEarlyData(t *testing.T) {
	r, _ := serve3(t, always(ok2))
	cfg := &tls.Config{
		InsecureSkipVerify: true, ServerName: "a.example", NextProtos: []string{"h3"},
		ClientSessionCache: tls.NewLRUClientSessionCache(4),
	}
	for _, resumed := range []bool{false, true} {
		conn, err := quic.DialAddrEarly(patientContext(t), r.addr(443), cfg, nil)
		if err != nil {
			t.Fatal(err)
		}
		<-conn.HandshakeComplete()
		if state := conn.ConnectionState(); state.Used0RTT || state.TLS.DidResume != resumed {
			t.Errorf("0-RTT %v, resumed %v, want %v", state.Used0RTT, state.TLS.DidResume, resumed)
		}
		client := (&quichttp3.Transport{}).NewClientConn(conn) // with an answer come the tickets
		req, _ := http.NewRequest("GET", "https://a.example/", nil)
		if _, err := client.RoundTrip(req); err != nil {
			t.Fatal(err)
		}
		conn.CloseWithError(0x100, "")
	}
}

// Floods of what costs us more than the client end its connection, and are counted
// as what they are.
func TestHTTP3Floods(t *testing.T) {
	const excessiveLoad = 0x107
	for name, once := range map[string]func(c *raw) bool{
		"rapid reset": func(c *raw) bool {
			s, err := c.OpenStreamSync(c.Context())
			if err != nil {
				return false
			}
			s.Write(getFields())
			s.CancelWrite(0x10c)
			s.CancelRead(0x10c)
			return true
		},
		"malformed requests": func(c *raw) bool {
			s, err := c.OpenStreamSync(c.Context())
			if err != nil {
				return false
			}
			s.Write(fields(":method", "GET"))
			s.Close()
			return true
		},
		"streams of no kind": func(c *raw) bool {
			s, err := c.OpenUniStreamSync(c.Context())
			if err != nil {
				return false
			}
			s.Write([]byte{0x21})
			s.Close()
			return true
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := serve3(t, func(p *peer) { p.rest() })
			c := r.raw()
			for i := 0; i < 3000 && once(c); i++ {
				continue
			}
			if got := c.connCode(); got != excessiveLoad {
				t.Errorf("%#x", got)
			}
			r.log.wait(t, " client_abuse ")
		})
	}
}

// What QUIC may hold of bodies counts as memory: requests with bodies are refused
// when that is full, and those without go on.
func TestHTTP3BodiesCount(t *testing.T) {
	b := newBackend(t, func(p *peer) {
		for head := p.head(); head != ""; head = p.head() {
			if strings.HasPrefix(head, "GET") {
				p.send(ok2)
			}
		}
	})
	r := newRig3(t, func(cfg *proxy.Config) { cfg.Limits.BufferBytes = 4 << 20 })
	r.applySnapshot(tlsRule(t, b.addr, map[string]keyPair{"*": newKeyPair(t, "x")}))
	c := r.raw()
	overloaded := func() bool { return strings.Contains(r.log.all(), " overloaded ") }
	const most = 100 // streams, of which the proxy takes more at a time
	for range most {
		c.ask(false, fields(":method", "POST", ":scheme", "https", ":authority", "a", ":path", "/"))
	}
	eventually(t, "bodies are refused", overloaded)
	c.CloseWithError(0x100, "")
	eventually(t, "the memory is given back", func() bool {
		_, err := r.client3(nil).RoundTrip(r.client3(nil).request("GET", "/", nil))
		return err == nil
	})
}
