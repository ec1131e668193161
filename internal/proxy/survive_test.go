package proxy_test

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy"
)

var swapFor = flag.Duration("swap.for", 2*time.Second, "how long TestSwapsUnderLoad swaps")

// marked is a Snapshot whose number shows in three places: the backend that
// answers, the path that it is asked for, and a field of the answer.
func marked(n int, backends []*backend) *model.Snapshot {
	i := n % len(backends)
	s, err := model.Parse(fmt.Sprintf(`listener 80 http
host * 80
block test by-specificity
rule r%d/0 prefix:/ forward=s%d:80 rewrite=/g%d/$1 pattern=^/(.*) cors=* cors-expose=g%d
rule r%d/1 exact:/nobody forward=s%d:80
service s%d:80 round-robin
endpoint s%d:80 %s
`, n, i, n, n, n, i, i, i, backends[i].addr))
	if err != nil {
		panic(err)
	}
	return s
}

// markedAnswer checks that all of an answer is from one Snapshot.
func markedAnswer(answer string, backends int) error {
	var n, path, by int
	if _, err := fmt.Sscanf(fieldOf(answer, "Access-Control-Expose-Headers"), "g%d", &n); err != nil {
		return fmt.Errorf("no mark: %q", answer)
	}
	_, body, _ := strings.Cut(answer, "\r\n\r\n")
	if _, err := fmt.Sscanf(body, "backend %d path /g%d/", &by, &path); err != nil {
		return fmt.Errorf("no mark: %q", answer)
	}
	if path != n || by != n%backends {
		return fmt.Errorf("a mix: %q", answer)
	}
	return nil
}

// load runs clients that never retry, until it is stopped. Each asks over a
// connection of its own, and makes a new one every few requests. It returns
// how many answers came.
func (r *rig) load(clients int, check func(answer string) error) (stop func() int64) {
	var answered atomic.Int64
	var running sync.WaitGroup
	done := make(chan struct{})
	for i := range clients {
		running.Go(func() {
			for turn := 0; ; turn++ {
				c := r.dial()
				for request := range 10 + 40*(i%3) {
					select {
					case <-done:
						c.nc.Close()
						return
					default:
					}
					if (request+i)%3 == 0 {
						c.send(post("/x", strings.Repeat("x", request*100)))
					} else {
						c.send(get("/x"))
					}
					if err := check(c.answer("GET")); err != nil {
						r.t.Errorf("client %d, connection %d, request %d: %v", i, turn, request, err)
						c.nc.Close()
						return
					}
					answered.Add(1)
				}
				c.nc.Close()
			}
		})
	}
	return func() int64 {
		close(done)
		running.Wait()
		return answered.Load()
	}
}

// numbered are backends that say who they are and what they were asked for.
func numbered(t *testing.T, n int) []*backend {
	all := make([]*backend, n)
	for i := range all {
		all[i] = newBackend(t, func(p *peer) {
			for m := p.message(); m != ""; m = p.message() {
				p.send(text(fmt.Sprintf("backend %d path %s", i, strings.Fields(m)[1])))
			}
		})
	}
	return all
}

// TestSwapsUnderLoad swaps to another configuration every 50 ms.
func TestSwapsUnderLoad(t *testing.T) {
	goroutines := runtime.NumGoroutine()
	backends := numbered(t, 4)
	r := newRig(t, nil)
	var generations, freed int64
	follow := func() {
		generations++
		runtime.AddCleanup(r.proxy.Generation(), func(int) { atomic.AddInt64(&freed, 1) }, 0)
	}
	r.applySnapshot(marked(0, backends))
	follow()
	stop := r.load(8, func(answer string) error { return markedAnswer(answer, len(backends)) })
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	end := time.After(*swapFor)
	swaps := 0
	for swapping := true; swapping; {
		select {
		case <-tick.C:
			swaps++
			before := r.proxy.Generation().Number
			r.applySnapshot(marked(swaps, backends))
			follow()
			if after := r.proxy.Generation().Number; after != before+1 {
				t.Fatalf("the Generation went from %d to %d", before, after)
			}
		case <-end:
			swapping = false
		}
	}
	answered := stop()
	t.Logf("%d swaps, %d answers", swaps, answered)
	if answered < int64(swaps) {
		t.Errorf("%d answers over %d swaps", answered, swaps)
	}
	eventually(t, "no connection is left", func() bool { return r.proxy.Connections() == 0 })
	if endpoints, services, _ := r.proxy.Registry().Size(); endpoints != 1 || services != 1 {
		t.Errorf("%d endpoints and %d services are left", endpoints, services)
	}
	eventually(t, "all Generations but one are freed", func() bool {
		runtime.GC()
		return atomic.LoadInt64(&freed) == generations-1
	})
	r.stop()
	for _, b := range backends {
		b.kill()
	}
	if _, _, idle := r.proxy.Registry().Size(); idle != 0 {
		t.Errorf("%d idle connections are left", idle)
	}
	eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= goroutines })
}

// TestTunnelHoldsNoGeneration checks that what lives long pins nothing.
func TestTunnelHoldsNoGeneration(t *testing.T) {
	b := newBackend(t, upgraded(repeat))
	r := newRig(t, nil)
	r.apply(rule("", b.addr))
	freed := newSignal()
	runtime.AddCleanup(r.proxy.Generation(), func(int) { freed.fire() }, 0)
	c := r.upgrade()
	r.apply(rule("read=5s", b.addr))
	eventually(t, "the Generation is freed", func() bool {
		runtime.GC()
		select {
		case <-freed.ch:
			return true
		default:
			return false
		}
	})
	c.send("still there")
	c.expect("still there")
}

// TestBackendsKilledUnderLoad kills and restarts one of two backends. Every
// request gets an answer; those that the dying backend had get 502 at worst.
func TestBackendsKilledUnderLoad(t *testing.T) {
	steady, shaky := newBackend(t, echo), newBackend(t, echo)
	r := newRig(t, nil)
	r.apply(rule("", steady.addr, shaky.addr))
	var bad atomic.Int64
	stop := r.load(8, func(answer string) error {
		switch statusOf(answer) {
		case 200:
			return nil
		case 502:
			bad.Add(1)
			return nil
		}
		return fmt.Errorf("%q", answer)
	})
	for range 10 {
		shaky.kill()
		before := steady.size()
		eventually(t, "the other backend serves alone", func() bool { return steady.size() > before+100_000 })
		shaky = newBackendAt(t, shaky.addr, echo)
		eventually(t, "the backend serves again", func() bool { return shaky.size() > 100_000 })
	}
	answered := stop()
	t.Logf("%d of %d answers were 502", bad.Load(), answered)
	if bad.Load() > answered/20 {
		t.Errorf("%d of %d answers were 502", bad.Load(), answered)
	}
	c := r.dial()
	for range 20 {
		c.send(get("/"))
		if got := c.answer("GET"); statusOf(got) != 200 {
			t.Errorf("%q", got)
		}
	}
}

func (b *backend) size() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.received.Len() + b.dropped
}

// TestSlowClients has 1,000 clients that send a head or a body slowly, while
// others are served.
func TestSlowClients(t *testing.T) {
	b := newBackend(t, func(p *peer) {
		for p.message() != "" {
			p.send(ok2)
		}
	})
	r := newRig(t, nil)
	r.apply(rule("", b.addr))
	slow := make([]*peer, 1000)
	for i := range slow {
		slow[i] = r.dial()
		if i%2 == 0 {
			slow[i].send("GET / HTTP/1.1\r\nHos")
		} else {
			slow[i].send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nx")
		}
	}
	eventually(t, "all are there", func() bool { return r.proxy.Connections() == 1000 && b.connections() >= 500 })
	c := r.dial()
	for range 200 {
		c.send(get("/fast"))
		if got := c.answer("GET"); got != ok2 {
			t.Fatalf("%q", got)
		}
	}
	for i, p := range slow {
		p.send([]string{"t: a\r\n\r\n", "x"}[i%2])
	}
	for i, p := range slow {
		if got := p.answer("GET"); got != ok2 {
			t.Fatalf("slow client %d: %q", i, got)
		}
		p.nc.Close()
	}
}

// TestDrainUnderLoad ends a proxy under load, without one lost request.
func TestDrainUnderLoad(t *testing.T) {
	b := newBackend(t, echo)
	r := newRig(t, nil)
	r.apply(rule("", b.addr))
	addr := r.addr(80)
	var answered atomic.Int64
	var closing [8]atomic.Int64
	var clients sync.WaitGroup
	begun := make(chan struct{}, len(closing))
	for i := range closing {
		clients.Go(func() {
			for request := 0; ; {
				nc, err := net.Dial("tcp", addr)
				if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) {
					return // there was no connection: this client goes elsewhere
				}
				if err != nil {
					t.Error(err)
					return
				}
				c := newPeer(t, nc)
				for keep := true; keep; request++ {
					if request == 10 {
						begun <- struct{}{}
					}
					c.send(post("/", strings.Repeat("x", request)))
					got := c.answer("POST")
					if statusOf(got) != 200 {
						t.Errorf("client %d lost request %d: %q", i, request, got)
						nc.Close()
						return
					}
					answered.Add(1)
					if keep = fieldOf(got, "Connection") != "close"; !keep {
						closing[i].Add(1)
					}
				}
				nc.Close()
			}
		})
	}
	for range closing {
		<-begun
	}
	r.proxy.Drain()
	for i := range closing {
		eventually(t, "every client is asked to leave, and comes back", func() bool { return closing[i].Load() > 10 })
	}
	if cut := r.stop(); cut != 0 {
		t.Errorf("%d connections were cut", cut)
	}
	clients.Wait()
	t.Logf("%d answers", answered.Load())
	if _, err := r.proxy.Apply(marked(1, []*backend{b})); !errors.Is(err, proxy.ErrClosed) {
		t.Errorf("a Snapshot was taken after the end: %v", err)
	}
}

// TestDrainAndIdleConnections checks that a drain closes what is idle, serves
// what has just connected, and waits for what is under way.
func TestDrainAndIdleConnections(t *testing.T) {
	working, finish := newSignal(), newSignal()
	b := newBackend(t, func(p *peer) {
		for {
			m := p.message()
			if m == "" {
				return
			}
			if strings.HasPrefix(m, "GET /work ") {
				working.fire()
				<-finish.ch
			}
			p.send(ok2)
		}
	})
	r := newRig(t, nil)
	r.apply(rule("", b.addr))
	idle, busy, fresh := r.dial(), r.dial(), r.dial()
	idle.send(get("/"))
	idle.answer("GET")
	busy.send(get("/work"))
	working.wait(t, "the request reaches the backend")
	eventually(t, "all have been accepted", func() bool { return r.proxy.Connections() == 3 })
	stopped := make(chan int)
	go func() { stopped <- r.stop() }()
	idle.closed()
	fresh.send(get("/"))
	for _, c := range []*peer{fresh, busy} {
		finish.fire()
		if got := c.answer("GET"); got != "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok" {
			t.Errorf("%q", got)
		}
		c.closed()
		c.nc.Close()
	}
	if cut := <-stopped; cut != 0 {
		t.Errorf("%d were cut", cut)
	}
}

// TestClosedPortLosesNothing checks that connections that the system has made,
// and the proxy has not accepted when it closes the port, are served. Clients
// connect all the time, and speak only when the port is closed.
func TestClosedPortLosesNothing(t *testing.T) {
	b := newBackend(t, always(ok2))
	r := newRig(t, nil)
	for range 10 {
		r.apply(rule("", b.addr))
		addr := r.addr(80)
		var mu sync.Mutex
		var connected []*peer
		several := newSignal()
		var dialing sync.WaitGroup
		for range 4 {
			dialing.Go(func() {
				for {
					nc, err := net.Dial("tcp", addr)
					if err != nil {
						return
					}
					mu.Lock()
					if connected = append(connected, newPeer(t, nc)); len(connected) > 20 {
						several.fire()
					}
					mu.Unlock()
				}
			})
		}
		several.wait(t, "clients connect")
		r.apply("listener 81 http\n")
		dialing.Wait()
		lost := 0
		for _, c := range connected {
			c.send(get("/"))
			if statusOf(c.answer("GET")) != 404 {
				lost++
			}
			c.nc.Close()
		}
		// What the system connects between the last look and the close, within
		// a few microseconds, is beyond reach.
		if lost > 1 {
			t.Errorf("%d of %d connections were lost", lost, len(connected))
		}
	}
}

func TestOverload(t *testing.T) {
	b := newBackend(t, always(ok2))
	r := newRig(t, func(cfg *proxy.Config) { cfg.Limits.BufferBytes = 1 }) // the least: 64 buffers
	r.apply(rule("", b.addr))
	slow := make([]*peer, 100)
	for i := range slow {
		slow[i] = r.dial()
		slow[i].send("GET / HTTP/1.1\r\nHos")
	}
	var got string
	eventually(t, "new work is refused", func() bool {
		got = r.ask(get("/"))
		return statusOf(got) == 503
	})
	if plain(got) != failed(503, "Service Unavailable", "overloaded") {
		t.Errorf("%q", got)
	}
	for _, c := range slow {
		c.nc.Close()
	}
	eventually(t, "work is taken again", func() bool { return statusOf(r.ask(get("/"))) == 200 })
}

func TestConnectionLimits(t *testing.T) {
	b := newBackend(t, always(ok2))
	for name, edit := range map[string]func(*proxy.Config){
		"per client": func(cfg *proxy.Config) { cfg.Limits.ConnectionsPerClient = 3 },
		"in total":   func(cfg *proxy.Config) { cfg.Limits.Connections = 3 },
		"of the trusted": func(cfg *proxy.Config) {
			cfg.Limits.ConnectionsPerClient, cfg.Limits.Connections = 1, 3
			cfg.Trusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, edit)
			r.apply(rule("", b.addr))
			var open []*peer
			for range 3 {
				c := r.dial()
				c.send(get("/"))
				if got := c.answer("GET"); got != ok2 {
					t.Fatalf("%q", got)
				}
				open = append(open, c)
			}
			if got := r.ask(get("/")); got != "" {
				t.Errorf("one too many got %q", got)
			}
			if text := string(r.metrics.WriteText()); !strings.Contains(text, `windrose_connections_refused_total{port="80"} 1`) {
				t.Error(text)
			}
			open[0].nc.Close()
			eventually(t, "there is room again", func() bool { return r.proxy.Connections() == 2 })
			if got := r.ask(get("/")); got != ok2 {
				t.Errorf("%q", got)
			}
		})
	}
}

// TestApplyRacesWithDrain swaps while the proxy ends.
func TestApplyRacesWithDrain(t *testing.T) {
	backends := numbered(t, 2)
	for range 5 {
		r := newRig(t, nil)
		r.applySnapshot(marked(0, backends))
		var swapping sync.WaitGroup
		swapping.Go(func() {
			for n := 1; ; n++ {
				s := marked(n, backends)
				if n%2 == 0 {
					s.Config.Listeners = append(s.Config.Listeners, model.Listener{ID: model.ListenerID{Port: 81}})
					s = model.Freeze(s.Parts)
				}
				if _, err := r.proxy.Apply(s); err != nil {
					if !errors.Is(err, proxy.ErrClosed) {
						t.Error(err)
					}
					return
				}
			}
		})
		c := r.dial()
		c.send(get("/"))
		if err := markedAnswer(c.answer("GET"), 2); err != nil {
			t.Error(err)
		}
		c.nc.Close()
		r.stop()
		swapping.Wait()
	}
}

// TestRemovedListener checks what a port that is gone means for connections
// that are open.
func TestRemovedListener(t *testing.T) {
	b := newBackend(t, always(ok2))
	r := newRig(t, nil)
	r.apply(rule("", b.addr))
	c := r.dial()
	c.send(get("/"))
	c.answer("GET")
	addr := r.addr(80)
	r.apply(strings.ReplaceAll(strings.ReplaceAll(rule("", b.addr), "listener 80", "listener 81"), "host * 80", "host * 81"))
	c.send(get("/"))
	if got := c.answer("GET"); statusOf(got) != 404 {
		t.Errorf("%q", got)
	}
	eventually(t, "the port is closed", func() bool {
		nc, err := net.Dial("tcp", addr)
		if err == nil {
			nc.Close()
		}
		return err != nil
	})
}

// TestListenerComesBack checks that a port is free as soon as a swap has
// closed it.
func TestListenerComesBack(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	b := newBackend(t, always(ok2))
	r := newRig(t, func(cfg *proxy.Config) { cfg.Address = func(model.Listener) string { return addr } })
	for range 50 {
		r.apply(rule("", b.addr)) // reports a port that cannot be opened
		if got := r.ask(get("/")); got != ok2 {
			t.Fatalf("%q", got)
		}
		r.apply("")
	}
}

// TestFailedFilterClosesItsRule checks that a rule that cannot be compiled is
// closed, with a Report, and that the others go live.
func TestFailedFilterClosesItsRule(t *testing.T) {
	b := newBackend(t, always(ok2))
	r := newRig(t, nil)
	text := strings.Replace(rule("", b.addr), "rule r", "rule bad prefix:/bad forward=s:80 cors=* cors-methods=GET\nrule r", 1)
	for _, text := range []string{text, text + "endpoint s:80 127.0.0.1:1\n"} { // the second changes endpoints only
		s, err := model.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range s.Config.Hosts[0].Blocks[0].Rules {
			if one.ID == "bad" { // no form of a Snapshot would carry it
				model.FilterOf[*model.CORS](one.Filters).AllowMethods = "GET\r\nX: y"
			}
		}
		reports, err := r.proxy.Apply(model.Freeze(s.Parts))
		if err != nil || len(reports) != 1 || !strings.Contains(reports[0].String(), "cors") {
			t.Fatalf("%v %v", reports, err)
		}
		if got := r.ask(get("/bad/x")); plain(got) != failed(503, "Service Unavailable", "closed") {
			t.Errorf("%q", got)
		}
		if got := r.ask(get("/good")); got != ok2 {
			t.Errorf("%q", got)
		}
	}
}

// TestSlowGoodbyeIsNoLoad: clients that were answered and do not leave hold no
// buffers that others need.
func TestSlowGoodbyeIsNoLoad(t *testing.T) {
	b := newBackend(t, always(ok2))
	r := newRig(t, func(cfg *proxy.Config) { cfg.Limits.BufferBytes = 1 }) // the least: 64 buffers
	r.apply(strings.Replace(rule("", b.addr), "host * 80", "host a.test 80", 1))
	stay := make([]*peer, 200)
	for i := range stay {
		stay[i] = r.dial()
		stay[i].send("POST / HTTP/1.1\r\nHost: none.test\r\nContent-Length: 9\r\n\r\n")
		stay[i].answer("POST")
	}
	if got := r.ask("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"); statusOf(got) != 200 {
		t.Errorf("%q", got)
	}
	for _, c := range stay {
		c.nc.Close()
	}
}

// TestListenersOfGateways checks that two Gateways have one port each, at
// addresses of their own, and that one can move.
func TestListenersOfGateways(t *testing.T) {
	b := newBackend(t, always(ok2))
	r := newRig(t, func(cfg *proxy.Config) { cfg.Address = nil })
	snapshot := func(first, second string) string {
		return fmt.Sprintf(`listener a/one:80 http address=%s
listener a/two:80 http address=%s
host * a/one:80
block test by-specificity
rule one prefix:/ forward=s:80
host * a/two:80
block test by-specificity
rule two any: respond=404:no_route
service s:80 round-robin
endpoint s:80 %s
`, first, second, b.addr)
	}
	ask := func(gateway string) int {
		nc, err := net.Dial("tcp", r.proxy.Addr(model.ListenerID{Gateway: gateway, Port: 80}).String())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		c := newPeer(t, nc)
		c.send(get("/"))
		return statusOf(c.answer("GET"))
	}
	r.apply(snapshot("127.0.0.1:0", "127.0.0.1:0"))
	if one, two := ask("a/one"), ask("a/two"); one != 200 || two != 404 {
		t.Fatalf("%d %d", one, two)
	}
	before := r.proxy.Addr(model.ListenerID{Gateway: "a/one", Port: 80}).String()
	r.apply(snapshot("127.0.0.2:0", "127.0.0.1:0"))
	if one, two := ask("a/one"), ask("a/two"); one != 200 || two != 404 {
		t.Fatalf("%d %d", one, two)
	}
	if nc, err := net.Dial("tcp", before); err == nil {
		nc.Close()
		t.Errorf("%s is still open", before)
	}
}
