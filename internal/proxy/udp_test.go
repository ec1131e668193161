package proxy_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy"
	"windrose.dev/windrose/internal/proxy/settings"
	"windrose.dev/windrose/internal/proxy/sock"
)

// datagrams is a Snapshot with one L4 route of UDP at port 53.
func datagrams(options string, endpoints ...string) string {
	return l4Routes("listener 53/udp udp\nl4-route r 53/udp "+options+"\n", endpoints...)
}

// udpBackend answers each datagram with its name and what it got.
type udpBackend struct {
	addr string
	conn *net.UDPConn
	seen atomic.Int64
}

func newUDPBackend(t testing.TB, name string) *udpBackend {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	b := &udpBackend{addr: conn.LocalAddr().String(), conn: conn}
	var serving sync.WaitGroup
	serving.Go(func() {
		buf := make([]byte, 64<<10)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			b.seen.Add(1)
			conn.WriteToUDPAddrPort(append([]byte(name), buf[:n]...), from)
		}
	})
	t.Cleanup(func() { conn.Close(); serving.Wait() })
	return b
}

// udpClient talks to the proxy's port 53.
type udpClient struct {
	t testing.TB
	*net.UDPConn
}

func (r *rig) udp() *udpClient {
	r.t.Helper()
	at := r.proxy.Addr(model.ListenerID{Port: 53, UDP: true})
	if at == nil {
		r.t.Fatal("nothing listens for port 53/udp")
	}
	conn, err := net.DialUDP("udp", nil, at.(*net.UDPAddr)) // takes replies from that address alone
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	return &udpClient{r.t, conn}
}

// ask sends a datagram and returns the answer.
func (c *udpClient) ask(text string) string {
	c.t.Helper()
	buf := make([]byte, 64<<10)
	c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Write([]byte(text)); err != nil {
		c.t.Fatal(err)
	}
	n, err := c.Read(buf)
	if err != nil {
		c.t.Fatalf("no answer to %.20q: %v", text, err)
	}
	return string(buf[:n])
}

// expect asks and compares.
func (c *udpClient) expect(text, want string) {
	c.t.Helper()
	if got := c.ask(text); got != want {
		c.t.Fatalf("%.40q, want %.40q", got, want)
	}
}

// newUDPRig is newRig, but that nothing waits at its end until flows are silent.
func newUDPRig(t *testing.T, edit func(*proxy.Config)) *rig {
	t.Helper()
	return newRig(t, func(cfg *proxy.Config) {
		if cfg.DrainWait = time.Millisecond; edit != nil {
			edit(cfg)
		}
	})
}

// counted waits until the proxy's metrics say so.
func (r *rig) counted(line string) {
	r.t.Helper()
	eventually(r.t, line, func() bool { return strings.Contains(string(r.metrics.WriteText()), line+"\n") })
}

func TestUDP(t *testing.T) {
	b := newUDPBackend(t, "b:")
	r := newUDPRig(t, func(cfg *proxy.Config) { cfg.Limits.UDPTimeout = 100 * time.Millisecond })
	r.apply(datagrams("forward=s:1", b.addr))
	one, two := r.udp(), r.udp()
	one.expect("hello", "b:hello")
	two.expect("there", "b:there")
	one.expect("", "b:") // a datagram of no bytes is one
	large := strings.Repeat("x", 60_000)
	one.expect(large, "b:"+large)
	line := r.log.wait(t, "udp://:")
	for _, part := range []string{" 0 ok udp://:", " route=r ", " endpoint=" + b.addr} {
		if !strings.Contains(line, part) {
			t.Errorf("%q lacks %q", line, part)
		}
	}
	r.log.wait(t, fmt.Sprintf(" in=%d out=%d ", 5+60_000, 5+60_000+3*2))
	r.counted(`windrose_connections_total{port="53/udp"} 2`)
	r.counted(`windrose_connections_open{port="53/udp"} 0`)
	r.counted(`windrose_l4_flows_total{route="r",outcome="ok"} 2`)
	one.expect("again", "b:again")
	r.counted(`windrose_connections_total{port="53/udp"} 3`)
}

// TestUDPStaysAtItsEndpoint: a flow has one, and flows have all.
func TestUDPStaysAtItsEndpoint(t *testing.T) {
	a, b := newUDPBackend(t, "a"), newUDPBackend(t, "b")
	r := newUDPRig(t, nil)
	r.apply(datagrams("forward=s:1", a.addr, b.addr))
	got := map[string]int{}
	for range 10 {
		c := r.udp()
		first := c.ask("")
		got[first]++
		for range 5 {
			c.expect("", first)
		}
	}
	if got["a"] != 5 || got["b"] != 5 {
		t.Errorf("%v", got)
	}
}

// TestUDPOnAllAddresses: replies come from the address that was asked, of
// whichever family, and a client may ask several.
func TestUDPOnAllAddresses(t *testing.T) {
	b := newUDPBackend(t, "b:")
	for listen, ask := range map[string][]string{
		"0.0.0.0:0": {"127.0.0.1", "127.0.0.2"}, ":0": {"127.0.0.3", "127.0.0.1"}, "[::]:0": {"::1", "127.0.0.2"},
	} {
		r := newUDPRig(t, func(cfg *proxy.Config) { cfg.Address = func(model.Listener) string { return listen } })
		r.apply(datagrams("forward=s:1", b.addr))
		port := r.proxy.Addr(model.ListenerID{Port: 53, UDP: true}).(*net.UDPAddr).Port
		for _, addr := range ask {
			conn, err := net.DialUDP("udp", nil, &net.UDPAddr{IP: net.ParseIP(addr), Port: port})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			(&udpClient{t, conn}).expect("hello", "b:hello")
		}
	}
}

// TestUDPTableIsBounded: what there is no room for is dropped, and counted.
func TestUDPTableIsBounded(t *testing.T) {
	for _, limit := range []func(*settings.Limits){
		func(l *settings.Limits) { l.UDPFlows = 1 },
		func(l *settings.Limits) { l.UDPFlowsPerClient = 1 },
	} {
		b := newUDPBackend(t, "b:")
		r := newUDPRig(t, func(cfg *proxy.Config) { limit(&cfg.Limits) })
		r.apply(datagrams("forward=s:1 idle=100ms", b.addr))
		one, two := r.udp(), r.udp()
		one.expect("hello", "b:hello")
		two.Write([]byte("no room"))
		r.counted(`windrose_datagrams_dropped_total{port="53/udp"} 1`)
		r.counted(`windrose_connections_refused_total{port="53/udp"} 1`)
		r.counted(`windrose_l4_flows_total{route="r",outcome="overloaded"} 1`)
		r.counted(`windrose_connections_open{port="53/udp"} 0`) // the first has been silent
		two.expect("room", "b:room")
	}
}

func TestUDPRefuses(t *testing.T) {
	for _, test := range []struct{ options, want string }{
		{"respond=503:closed", `windrose_l4_flows_total{route="r",outcome="closed"} 1`},
		{"forward=s:1", `windrose_l4_flows_total{route="r",outcome="no_endpoint"} 1`},
		{"forward=s:1*0", `windrose_l4_flows_total{route="r",outcome="backend_invalid"} 1`},
	} {
		r := newUDPRig(t, nil)
		r.apply(datagrams(test.options))
		r.udp().Write([]byte("hello"))
		r.counted(test.want)
		r.counted(`windrose_datagrams_dropped_total{port="53/udp"} 1`)
	}
	r := newUDPRig(t, nil)
	r.apply("listener 53/udp udp\n")
	r.udp().Write([]byte("hello"))
	r.counted(`windrose_l4_flows_total{route="none",outcome="no_route"} 1`)
}

// TestUDPLeavesDeadEndpoints: a flow to one that does not listen ends, and the
// client's next datagram gets another.
func TestUDPLeavesDeadEndpoints(t *testing.T) {
	dead, b := newUDPBackend(t, ""), newUDPBackend(t, "b:")
	dead.conn.Close()
	r := newUDPRig(t, nil)
	r.apply(datagrams("forward=s:1", dead.addr, b.addr))
	for range 2 { // one of the two begins at the dead one
		c, buf := r.udp(), make([]byte, 100)
		for tries := 1; ; tries++ {
			c.Write([]byte("hello"))
			c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
			n, err := c.Read(buf)
			if err == nil && string(buf[:n]) == "b:hello" {
				break
			}
			if !errors.Is(err, os.ErrDeadlineExceeded) || tries == 100 {
				t.Fatalf("%q %v", buf[:n], err)
			}
		}
	}
	r.log.wait(t, " connect_failed udp://")
}

// TestUDPAndSwaps: a flow lives through changes, leaves an endpoint that is
// gone, and ends where its rule is closed.
func TestUDPAndSwaps(t *testing.T) {
	b, other := newUDPBackend(t, "b:"), newUDPBackend(t, "other:")
	r := newUDPRig(t, nil)
	r.apply(datagrams("forward=s:1", b.addr))
	c := r.udp()
	c.expect("0", "b:0")
	for i, snapshot := range []string{
		datagrams("forward=s:1", b.addr, other.addr),
		datagrams("forward=s:1 idle=1h", other.addr, b.addr),
		datagrams("respond=404:no_route", b.addr),
		datagrams("forward=s:1", b.addr+" terminating", other.addr),
	} {
		r.apply(snapshot)
		c.expect(fmt.Sprint(i), fmt.Sprint("b:", i))
	}
	r.counted(`windrose_connections_total{port="53/udp"} 1`)
	r.apply(datagrams("forward=s:1", other.addr))
	c.expect("moved", "other:moved")
	r.counted(`windrose_connections_total{port="53/udp"} 2`)
	r.apply(datagrams("respond=503:closed", other.addr))
	r.log.wait(t, " 0 closed udp://")
	c.Write([]byte("no more"))
	r.counted(`windrose_datagrams_dropped_total{port="53/udp"} 1`)
}

// TestUDPUnderSwaps: not a datagram of an open flow is lost while the
// configuration changes all the time.
func TestUDPUnderSwaps(t *testing.T) {
	b := newUDPBackend(t, "b:")
	r := newUDPRig(t, nil)
	r.apply(datagrams("forward=s:1", b.addr))
	stop := make(chan struct{})
	var talking sync.WaitGroup
	for range 4 {
		c := r.udp()
		c.expect("hello", "b:hello")
		talking.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
					c.expect(fmt.Sprint(i), fmt.Sprint("b:", i))
				}
			}
		})
	}
	for i := range 50 {
		r.apply(datagrams(fmt.Sprintf("forward=s:1 idle=%dh", i+1), b.addr))
	}
	close(stop)
	talking.Wait()
	r.counted(`windrose_connections_total{port="53/udp"} 4`)
}

// TestUDPListenerGoes: its port is free at once, and so are its flows.
func TestUDPListenerGoes(t *testing.T) {
	b := newUDPBackend(t, "b:")
	r := newUDPRig(t, nil)
	r.apply(datagrams("forward=s:1", b.addr))
	c := r.udp()
	c.expect("hello", "b:hello")
	at := c.RemoteAddr().(*net.UDPAddr)
	r.apply("listener 53 tcp\n") // the same number, and another port
	conn, err := net.ListenUDP("udp", at)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	r.log.wait(t, " drained udp://")
	r.apply(datagrams("forward=s:1", b.addr))
	r.udp().expect("hello", "b:hello")
}

// TestUDPFlowsOfALeavingListener: a flow that was on its way when its listener
// was closed does not begin, for nothing would end it.
func TestUDPFlowsOfALeavingListener(t *testing.T) {
	b := newUDPBackend(t, "b:")
	dialled, closed := newSignal(), newSignal()
	socket := make(chan *sock.Datagrams, 1)
	r := newUDPRig(t, func(cfg *proxy.Config) {
		cfg.DialUDP = func(addr netip.AddrPort, get func() []byte, put func([]byte)) (*sock.Datagrams, error) {
			dialled.fire()
			closed.wait(t, "the listener's end")
			d, err := sock.DialDatagrams(addr, get, put)
			socket <- d
			return d, err
		}
	})
	r.apply(datagrams("forward=s:1", b.addr))
	if _, err := r.udp().Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	dialled.wait(t, "a datagram")
	r.apply("listener 53 tcp\n")
	closed.fire()
	d := <-socket
	defer d.Close()
	eventually(t, "the socket of the flow is closed", func() bool { return errors.Is(d.SetReadDeadline(time.Time{}), net.ErrClosed) })
	r.counted(`windrose_datagrams_dropped_total{port="53/udp"} 1`)
	r.counted(`windrose_connections_total{port="53/udp"} 0`)
}

func TestUDPPortIsTaken(t *testing.T) {
	taken := newUDPBackend(t, "")
	r := newUDPRig(t, func(cfg *proxy.Config) { cfg.Address = func(model.Listener) string { return taken.addr } })
	s, err := model.Parse(datagrams("forward=s:1"))
	if err != nil {
		t.Fatal(err)
	}
	reports, err := r.proxy.Apply(s)
	if err != nil || len(reports) != 1 || !strings.Contains(reports[0].Message, "port 53/udp cannot be opened at UDP "+taken.addr) ||
		!strings.Contains(reports[0].Fix, "--publish 53=ADDR:PORT") {
		t.Errorf("%v %v", reports, err)
	}
}

// TestUDPDrains: flows that are silent end by themselves, and those that go on
// are cut when the time is over.
func TestUDPDrains(t *testing.T) {
	b := newUDPBackend(t, "b:")
	r := newRig(t, nil)
	r.apply(datagrams("forward=s:1", b.addr))
	r.udp().expect("hello", "b:hello")
	if cut := r.stop(); cut != 0 {
		t.Errorf("%d were cut", cut)
	}
	r.log.wait(t, " 0 ok udp://")

	r = newRig(t, func(cfg *proxy.Config) { cfg.DrainWait = 50 * time.Millisecond })
	r.apply(datagrams("forward=s:1", b.addr))
	r.udp().expect("hello", "b:hello")
	if cut := r.stop(); cut != 1 {
		t.Errorf("%d were cut", cut)
	}
	r.log.wait(t, " drained udp://")
}

// TestUDPAllocatesLittle: a datagram costs nothing that the collector has to
// see, and a flow a bounded amount.
func TestUDPAllocatesLittle(t *testing.T) {
	b := newUDPBackend(t, "")
	r := newUDPRig(t, nil)
	r.apply(datagrams("forward=s:1", b.addr))
	c := r.udp()
	buf, message := make([]byte, 100), []byte("hello")
	c.SetDeadline(time.Now().Add(patience))
	ask := func() {
		c.Write(message)
		if n, err := c.Read(buf); n != len(message) || err != nil {
			t.Fatal(n, err)
		}
	}
	ask()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const asks = 2000
	for range asks {
		ask()
	}
	runtime.ReadMemStats(&after)
	if mallocs := after.Mallocs - before.Mallocs; mallocs > asks { // the backend of the test has some of them
		t.Errorf("%d allocations for %d datagrams each way", mallocs, asks)
	}
}
