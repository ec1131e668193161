package proxy_test

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"windrose.dev/windrose/internal/proxy"
)

// upgraded accepts an upgrade and then runs script.
func upgraded(script func(*peer)) func(*peer) {
	return func(p *peer) {
		p.head()
		p.send(upgradeAnswer)
		script(p)
	}
}

// repeat sends back what comes.
func repeat(p *peer) {
	p.patient()
	io.Copy(struct{ io.Writer }{p.nc}, p.r)
}

// upgrade opens a tunnel from a client.
func (r *rig) upgrade() *peer {
	r.t.Helper()
	c := r.dial()
	c.send(upgradeRequest)
	if got := c.head(); got != "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n" {
		r.t.Fatalf("%q", got)
	}
	return c
}

func (p *peer) expect(want string) {
	p.t.Helper()
	p.patient()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(p.r, got); err != nil || string(got) != want {
		p.t.Fatalf("got %q, want %q: %v", got, want, err)
	}
}

func TestTunnel(t *testing.T) {
	r, b := serve(t, "", upgraded(repeat))
	c := r.upgrade()
	for i := range 100 {
		c.send(fmt.Sprintf("message %d", i))
		c.expect(fmt.Sprintf("message %d", i))
	}
	if !strings.Contains(b.bytes(), "Connection: Upgrade\r\nUpgrade: websocket\r\n") {
		t.Errorf("%q", b.bytes())
	}
	c.nc.Close()
	if line := r.log.wait(t, "/chat"); !strings.Contains(line, " 101 upgraded ") || !strings.Contains(line, " in=990 ") {
		t.Errorf("logged %q", line)
	}
}

func TestEarlyBytesInATunnel(t *testing.T) {
	r, _ := serve(t, "", func(p *peer) {
		p.head()
		p.send(upgradeAnswer + "server first")
		repeat(p)
	})
	c := r.dial()
	c.send(upgradeRequest + "client first")
	c.head()
	c.expect("server firstclient first")
	c.send("more")
	c.expect("more")
}

func TestHalfCloseInATunnel(t *testing.T) {
	r, _ := serve(t, "", upgraded(func(p *peer) {
		got := p.rest()
		p.send("after the end: " + got)
	}))
	c := r.upgrade()
	c.send("hello")
	c.nc.(*net.TCPConn).CloseWrite()
	c.expect("after the end: hello")
	c.closed()
}

func TestBackendEndsATunnel(t *testing.T) {
	r, _ := serve(t, "", upgraded(func(p *peer) { p.expect("bye") }))
	c := r.upgrade()
	c.send("bye")
	c.closed()
	c.nc.Close()
	eventually(t, "no connection is left", func() bool { return r.proxy.Connections() == 0 })
}

func TestLargeTunnelBothWays(t *testing.T) {
	const size = 20 << 20
	r, _ := serve(t, "", upgraded(func(p *peer) {
		p.nc.SetDeadline(time.Now().Add(patience))
		var writing sync.WaitGroup
		writing.Go(func() { io.Copy(p.nc, io.LimitReader(&filler{}, size)) })
		io.CopyN(io.Discard, p.r, size)
		writing.Wait()
		p.send("done")
	}))
	c := r.upgrade()
	c.nc.SetDeadline(time.Now().Add(patience))
	go io.Copy(struct{ io.Writer }{c.nc}, io.LimitReader(&filler{}, size))
	if n, err := io.CopyN(io.Discard, c.r, size); n != size {
		t.Fatal(n, err)
	}
	c.expect("done")
}

// TestTunnelAndSwaps checks that a tunnel lives through swaps, and ends when
// its route is closed.
func TestTunnelAndSwaps(t *testing.T) {
	b := newBackend(t, upgraded(repeat))
	other := newBackend(t, echo)
	r := newRig(t, nil)
	r.apply(rule("", b.addr))
	c := r.upgrade()
	for i, snapshot := range []string{
		rule("", other.addr),
		rule("read=1s max-body=1", b.addr),
		strings.ReplaceAll(rule("", b.addr), "host *", "host elsewhere"),
		strings.ReplaceAll(rule("", b.addr), "forward=s:80", "respond=404:no_route"),
		rule(""),
	} {
		r.apply(snapshot)
		c.send(fmt.Sprint(i))
		c.expect(fmt.Sprint(i))
	}
	r.apply(strings.ReplaceAll(rule("", b.addr), "prefix:/ forward=s:80", "prefix:/chat respond=503:closed"))
	c.closed()
	if line := r.log.wait(t, "/chat"); !strings.Contains(line, " closed ") || !strings.Contains(line, "route=r ") {
		t.Errorf("logged %q", line)
	}
	eventually(t, "the connection is gone", func() bool { return r.proxy.Connections() == 0 })
}

// TestTunnelIsCutByADrain checks that what does not end is ended.
func TestTunnelIsCutByADrain(t *testing.T) {
	b := newBackend(t, upgraded(repeat))
	r := newRig(t, func(cfg *proxy.Config) { cfg.DrainWait = 50 * time.Millisecond })
	r.apply(rule("", b.addr))
	c := r.upgrade()
	if cut := r.stop(); cut != 1 {
		t.Errorf("%d were cut", cut)
	}
	c.expect("\x88\x02\x03\xe9") // it was asked to close, and did not
	c.closed()
	r.log.wait(t, " 101 drained ")
}

// TestWorkIsCutByADrain checks that a backend that does not answer cannot hold
// a drain beyond its time.
func TestWorkIsCutByADrain(t *testing.T) {
	working := newSignal()
	b := newBackend(t, func(p *peer) {
		p.head()
		working.fire()
		p.rest()
	})
	r := newRig(t, func(cfg *proxy.Config) { cfg.DrainWait = 50 * time.Millisecond })
	r.apply(rule("", b.addr))
	c := r.dial()
	c.send(get("/"))
	working.wait(t, "the request reaches the backend")
	begun := time.Now()
	if cut := r.stop(); cut != 1 || time.Since(begun) > patience {
		t.Errorf("%d were cut after %v", cut, time.Since(begun))
	}
	c.closed()
}
