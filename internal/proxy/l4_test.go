package proxy_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"windrose.dev/windrose/internal/proxy"
	"windrose.dev/windrose/internal/proxy/settings"
)

// l4Route is a Snapshot with one L4 route of TCP at port 80.
func l4Route(options string, endpoints ...string) string {
	return l4Routes("listener 80 tcp\nl4-route r 80 "+options+"\n", endpoints...)
}

// l4Routes adds service s:1 with endpoints to a Snapshot.
func l4Routes(text string, endpoints ...string) string {
	text += "service s:1 round-robin\n"
	if len(endpoints) == 0 {
		text += "endpoint s:1 none\n"
	}
	for _, e := range endpoints {
		text += "endpoint s:1 " + e + "\n"
	}
	return text
}

// layer4Rig starts a rig with one L4 route of TCP and one backend.
func layer4Rig(t *testing.T, options string, script func(*peer)) (*rig, *backend) {
	t.Helper()
	b := newBackend(t, script)
	r := newRig(t, nil)
	r.apply(l4Route(options, b.addr))
	return r, b
}

// broken waits for the end of the stream, which must not be one in order.
func (p *peer) broken() {
	p.t.Helper()
	p.patient()
	if rest, err := io.ReadAll(p.r); !errors.Is(err, syscall.ECONNRESET) && !p.wasReset {
		p.t.Errorf("%q, and then %v", rest, err)
	}
}

func TestL4Route(t *testing.T) {
	r, _ := layer4Rig(t, "forward=s:1", repeat)
	c := r.dial()
	for i := range 100 {
		c.send(fmt.Sprintf("message %d", i))
		c.expect(fmt.Sprintf("message %d", i))
	}
	c.nc.(*net.TCPConn).CloseWrite()
	c.closed()
	line := r.log.wait(t, "tcp://:")
	for _, part := range []string{" 0 ok tcp://:", " in=990 out=990 ", " route=r ", " endpoint=127.0.0.1:"} {
		if !strings.Contains(line, part) {
			t.Errorf("%q lacks %q", line, part)
		}
	}
	eventually(t, "no connection is left", func() bool { return r.proxy.Connections() == 0 })
	text := string(r.metrics.WriteText())
	for _, want := range []string{
		`windrose_l4_flows_total{route="r",outcome="ok"} 1`,
		`windrose_l4_bytes_total{port="80",direction="in"} 990`,
		`windrose_l4_bytes_total{port="80",direction="out"} 990`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("missing %s", want)
		}
	}
}

// TestL4RouteServerFirst: nothing waits for the client to speak.
func TestL4RouteServerFirst(t *testing.T) {
	r, _ := layer4Rig(t, "forward=s:1", func(p *peer) {
		p.send("220 hello\n")
		p.expect("bye")
	})
	c := r.dial()
	c.expect("220 hello\n")
	c.send("bye")
	c.closed()
}

func TestL4RouteHalfClose(t *testing.T) {
	r, _ := layer4Rig(t, "forward=s:1", func(p *peer) { p.send("after the end: " + p.rest()) })
	c := r.dial()
	c.send("hello")
	c.nc.(*net.TCPConn).CloseWrite()
	c.expect("after the end: hello")
	c.closed()

	got := make(chan string, 1)
	r, _ = layer4Rig(t, "forward=s:1", func(p *peer) {
		p.send("all I have")
		p.nc.(*net.TCPConn).CloseWrite()
		got <- p.rest()
	})
	c = r.dial()
	c.expect("all I have")
	c.closed()
	c.send("and I")
	c.nc.Close()
	if text := <-got; text != "and I" {
		t.Errorf("%q", text)
	}
}

func TestLargeL4RouteBothWays(t *testing.T) {
	const size = 20 << 20
	r, _ := layer4Rig(t, "forward=s:1", func(p *peer) {
		p.nc.SetDeadline(time.Now().Add(patience))
		go io.Copy(p.nc, io.LimitReader(&filler{}, size))
		io.CopyN(io.Discard, p.r, size)
		p.send("done")
	})
	c := r.dial()
	c.nc.SetDeadline(time.Now().Add(patience))
	go io.Copy(struct{ io.Writer }{c.nc}, io.LimitReader(&filler{}, size))
	if n, err := io.CopyN(io.Discard, c.r, size); n != size {
		t.Fatal(n, err)
	}
	c.expect("done")
}

// TestL4RoutePassesAbortsOn: neither side takes an abort for an end in order.
func TestL4RoutePassesAbortsOn(t *testing.T) {
	ends := make(chan error, 1)
	r, _ := layer4Rig(t, "forward=s:1", func(p *peer) {
		p.expect("hello")
		p.send("hello")
		p.patient()
		_, err := p.r.ReadByte()
		ends <- err
	})
	c := r.dial()
	c.send("hello")
	c.expect("hello")
	c.reset()
	if err := <-ends; !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the backend saw %v", err)
	}
	r.log.wait(t, " client_gone tcp://")

	r, _ = layer4Rig(t, "forward=s:1", func(p *peer) {
		p.expect("hello")
		p.reset()
	})
	c = r.dial()
	c.send("hello")
	c.broken()
	r.log.wait(t, " upstream_truncated tcp://")
}

// TestL4RouteRefuses: what goes nowhere is reset, and the log says why.
func TestL4RouteRefuses(t *testing.T) {
	dead := deadAddress(t)
	for _, test := range []struct{ snapshot, want string }{
		{l4Route("respond=503:closed why=x"), " 0 closed tcp://"},
		{l4Route("forward=s:1"), " no_endpoint tcp://"},
		{l4Route("forward=s:1*0"), " backend_invalid tcp://"},
		{l4Route("forward\nbackend none 1 respond=500:backend_invalid \"why=no such Service\""), ` detail="no such Service"`},
		{l4Route("forward=s:1", dead), " connect_failed tcp://"},
		{"listener 80 tcp\n", " no_route tcp://"},
		{"listener 80 tls\n", ` detail="the first bytes are no TLS ClientHello"`},
	} {
		r := newRig(t, nil)
		r.apply(test.snapshot)
		if nc, err := net.Dial("tcp", r.addr(80)); err == nil { // it may be reset before it is known to be there
			c := newPeer(t, nc)
			if strings.Contains(test.want, "ClientHello") {
				c.send("GET / HTTP/1.1\r\n\r\n")
			}
			c.broken()
			nc.Close()
		}
		r.log.wait(t, test.want)
		eventually(t, "no connection is left", func() bool { return r.proxy.Connections() == 0 })
	}
}

// deadAddress is one that nobody listens on.
func deadAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestL4RouteTriesOtherEndpoints: no client notices one that does not listen.
func TestL4RouteTriesOtherEndpoints(t *testing.T) {
	b := newBackend(t, repeat)
	r := newRig(t, nil)
	r.apply(l4Route("forward=s:1", deadAddress(t), b.addr))
	for range 10 {
		c := r.dial()
		c.send("hello")
		c.expect("hello")
		c.nc.Close()
	}
	r.log.wait(t, " retries=1")
}

func TestL4RouteLimits(t *testing.T) {
	b := newBackend(t, repeat)
	r := newRig(t, func(cfg *proxy.Config) { cfg.Limits.Connections = 1 })
	r.apply(l4Route("forward=s:1", b.addr))
	first := r.dial()
	first.send("hello")
	first.expect("hello")
	second := r.dial()
	second.closed()
	first.send("still here")
	first.expect("still here")
}

// TestL4RouteAndSwaps: a configuration cuts nothing that is open, unless its rule
// is closed now.
func TestL4RouteAndSwaps(t *testing.T) {
	b, other := newBackend(t, repeat), newBackend(t, repeat)
	r := newRig(t, nil)
	r.apply(l4Route("forward=s:1", b.addr))
	c := r.dial()
	for i, snapshot := range []string{
		l4Route("forward=s:1", b.addr),
		l4Route("forward=s:1", other.addr),
		l4Route("forward=s:1"),
		l4Route("respond=404:no_route"),
		"listener 80 tcp\n",
		rule("", other.addr),
		"listener 81 http\n",
		l4Route("forward=s:1 idle=1s", b.addr),
	} {
		r.apply(snapshot)
		c.send(fmt.Sprint(i))
		c.expect(fmt.Sprint(i))
	}
	half := "listener 80 tcp\nl4-route r 80 forward\nbackend s:1 1\nbackend none 1 respond=503:closed\n"
	r.apply(l4Routes(half, b.addr))
	c.send("half")
	c.expect("half")
	for _, closed := range []string{
		l4Routes("listener 80 tcp\nl4-route r 80 forward\nbackend none 1 respond=503:closed\n", b.addr),
		l4Route("respond=503:closed", b.addr),
	} {
		r.apply(l4Route("forward=s:1", b.addr))
		c := r.dial()
		c.send("hello")
		c.expect("hello")
		r.apply(closed)
		c.broken()
		r.log.wait(t, " 0 closed tcp://")
	}
	c.broken()
	eventually(t, "the connection is gone", func() bool { return r.proxy.Connections() == 0 })
}

// TestL4RouteHoldsNoGeneration: connections and flows that live long keep no old
// configuration in memory.
func TestL4RouteHoldsNoGeneration(t *testing.T) {
	b, u := newBackend(t, repeat), newUDPBackend(t, "b:")
	r := newUDPRig(t, nil)
	text := strings.Replace(l4Route("forward=s:1", b.addr), "l4-route r", "listener 53/udp udp\nl4-route u 53/udp forward=u:1\nservice u:1 round-robin\nendpoint u:1 "+u.addr+"\nl4-route r", 1)
	r.apply(text)
	c, d := r.dial(), r.udp()
	c.send("hello")
	c.expect("hello")
	d.expect("hello", "b:hello")
	freed := newSignal()
	runtime.AddCleanup(r.proxy.Generation(), func(s *signal) { s.fire() }, freed)
	r.apply(text + "listener 81 tcp\n")
	eventually(t, "the Generation is freed", func() bool {
		runtime.GC()
		select {
		case <-freed.ch:
			return true
		default:
			return false
		}
	})
	c.send("still here")
	c.expect("still here")
	d.expect("still here", "b:still here")
}

// TestL4RoutesLeaveNothing: what ended takes no goroutine, no descriptor and no
// buffer any more.
func TestL4RoutesLeaveNothing(t *testing.T) {
	r, _ := layer4Rig(t, "forward=s:1", repeat)
	message := strings.Repeat("x", 200_000) // enough for pipes
	exchange := func() {
		c := r.dial()
		go c.send(message)
		c.expect(message)
		c.nc.Close()
	}
	exchange()
	eventually(t, "no connection is left", func() bool { return r.proxy.Connections() == 0 })
	goroutines, files := runtime.NumGoroutine(), openFiles(t)
	for range 100 {
		exchange()
	}
	eventually(t, "no connection is left", func() bool { return r.proxy.Connections() == 0 })
	eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= goroutines })
	const pipes = 20 // that are kept for the next
	eventually(t, "no descriptor is left", func() bool { return openFiles(t) <= files+pipes })
}

// openFiles counts the descriptors of this process, where the system tells.
func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return len(entries)
}

func TestL4RouteIsCutByADrain(t *testing.T) {
	b := newBackend(t, repeat)
	r := newRig(t, func(cfg *proxy.Config) { cfg.DrainWait = 50 * time.Millisecond })
	r.apply(l4Route("forward=s:1", b.addr))
	c := r.dial()
	c.send("hello")
	c.expect("hello")
	if cut := r.stop(); cut != 1 {
		t.Errorf("%d were cut", cut)
	}
	c.broken()
	r.log.wait(t, " drained tcp://")
}

// TestL4RouteEndsInADrain: what ends in time is not cut.
func TestL4RouteEndsInADrain(t *testing.T) {
	r, _ := layer4Rig(t, "forward=s:1", repeat)
	c := r.dial()
	c.send("hello")
	c.expect("hello")
	cut := make(chan int, 1)
	go func() { cut <- r.stop() }()
	eventually(t, "the port is closed", func() bool {
		nc, err := net.Dial("tcp", c.nc.RemoteAddr().String())
		if err == nil {
			nc.Close()
		}
		return err != nil
	})
	c.send("still here")
	c.expect("still here")
	c.nc.Close()
	if n := <-cut; n != 0 {
		t.Errorf("%d were cut", n)
	}
}

// TestL4RouteTimes is on in-memory connections, whose time is the test's: silence
// of both sides ends a connection, and traffic either way does not.
func TestL4RouteTimes(t *testing.T) {
	snapshot := l4Route("forward=s:1 idle=10s connect=2s", "10.0.0.1:80")
	inMemoryWith(t, snapshot, func(m *memory) {
		c := m.client()
		up := m.backend()
		for range 5 { // the client says nothing, and the backend does
			time.Sleep(9 * time.Second)
			go tell(up, "x")
			if _, err := c.r.ReadByte(); err != nil {
				t.Fatal(err)
			}
		}
		quiet := time.Now()
		if rest := all(c); rest != "" {
			t.Errorf("%q out of nothing", rest)
		}
		if silent := time.Since(quiet); silent < 10*time.Second || silent > 13*time.Second {
			t.Errorf("cut after %v of silence, and 10 s are allowed", silent)
		}
	})
	inMemoryWith(t, snapshot, func(m *memory) {
		for range cap(m.dialed) {
			m.dialed <- nil // nobody accepts any more
		}
		c, start := m.client(), time.Now()
		if rest := all(c); rest != "" || time.Since(start) != 2*time.Second {
			t.Errorf("%q, and refused after %v", rest, time.Since(start))
		}
	})
}

// TestSlowHello: a client that does not say whose it is is not waited for
// longer than for a handshake.
func TestSlowHello(t *testing.T) {
	inMemoryWith(t, l4Routes("listener 80 tls\nl4-route r 80 name=* forward=s:1\n", "10.0.0.1:80"), func(m *memory) {
		for _, beginning := range []string{"", "\x16", "\x16\x03\x01\x02\x00\x01"} {
			c, start := m.client(), time.Now()
			tell(c, beginning)
			if rest := all(c); rest != "" || time.Since(start) != settings.DefaultLimits().HeaderTimeout {
				t.Errorf("after %q it was closed in %v with %q", beginning, time.Since(start), rest)
			}
		}
	})
}
