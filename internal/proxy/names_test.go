package proxy_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/observe"
	"windrose.dev/windrose/internal/proxy"
	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/proxy/filter"
	"windrose.dev/windrose/internal/proxy/resolve"
	"windrose.dev/windrose/internal/proxy/settings"
	"windrose.dev/windrose/internal/reason"
)

// nameServer is a DNS server on loopback that knows the A records of one name, or
// fails.
type nameServer struct {
	mu      sync.Mutex
	records []string // in the form of zone files
}

func (s *nameServer) set(records ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records = records
}

// ServeDNS answers. Without records the server fails.
func (s *nameServer) ServeDNS(w dns.ResponseWriter, question *dns.Msg) {
	s.mu.Lock()
	defer s.mu.Unlock()
	reply := new(dns.Msg).SetReply(question)
	if len(s.records) == 0 {
		reply.Rcode = dns.RcodeServerFailure
	}
	for _, text := range s.records {
		if rr, err := dns.NewRR(text); err == nil && rr.Header().Rrtype == question.Question[0].Qtype {
			reply.Answer = append(reply.Answer, rr)
		}
	}
	w.WriteMsg(reply)
}

// newNameServer starts a server, and returns a resolver that asks it.
func newNameServer(t *testing.T, records ...string) (*nameServer, *resolve.Resolver) {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &nameServer{records: records}
	started := make(chan struct{})
	server := &dns.Server{PacketConn: pc, Handler: s, NotifyStartedFunc: func() { close(started) }}
	go server.ActivateAndServe()
	<-started
	t.Cleanup(func() { server.Shutdown() })
	_, port, _ := net.SplitHostPort(pc.LocalAddr().String())
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(conf, []byte("nameserver 127.0.0.1\noptions attempts:1 timeout:1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return s, &resolve.Resolver{Config: conf, Hosts: os.DevNull, Port: port}
}

// namedAt is the name of a test's service, with the port of an address.
func namedAt(t *testing.T, address string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return "dns:api.example.com.:" + port
}

func TestNamedEndpoints(t *testing.T) {
	_, resolver := newNameServer(t, "api.example.com. 60 IN A 127.0.0.1")
	b := newBackend(t, echo)
	r := newRig(t, func(cfg *proxy.Config) { cfg.Lookup, cfg.LoopbackNames = resolver.Lookup, true })
	r.apply(rule("", namedAt(t, b.addr)))
	for range 2 { // the first waits for the name
		if got := r.ask(get("/")); statusOf(got) != 200 || fieldOf(bodyOf(got), "Host") != "a.example" {
			t.Errorf("%q", got)
		}
	}
	if line := r.log.wait(t, " 200 ok "); !strings.Contains(line, " endpoint="+b.addr) {
		t.Error(line)
	}
	r.apply(l4Route("forward=s:1", namedAt(t, newBackend(t, repeat).addr)))
	c := r.dial()
	c.send("hello")
	c.expect("hello")
	if text := string(r.metrics.WriteText()); !strings.Contains(text, `windrose_name_lookups_total{result="found"} `) || !strings.Contains(text, "windrose_names_failing 0\n") {
		t.Error(text)
	}
}

// TestNameThatCannotBeLookedUp: requests are answered, and the log says why; when
// the name is found, they are served.
func TestNameThatCannotBeLookedUp(t *testing.T) {
	server, resolver := newNameServer(t)
	warned := make(chan string, 9)
	b := newBackend(t, echo)
	r := newRig(t, func(cfg *proxy.Config) {
		cfg.Lookup, cfg.LoopbackNames, cfg.Warn = resolver.Lookup, true, func(text string) { warned <- text }
	})
	r.apply(rule("", namedAt(t, b.addr)))
	if got := r.ask(get("/")); statusOf(got) != 503 || !strings.Contains(got, "no_endpoint") {
		t.Errorf("%q", got)
	}
	if line := r.log.wait(t, " 503 no_endpoint "); !strings.Contains(line, "api.example.com.: the name cannot be looked up now") {
		t.Error(line)
	}
	if text := <-warned; !strings.Contains(text, "SERVFAIL") {
		t.Error(text)
	}
	server.set("api.example.com. 60 IN A 127.0.0.1")
	eventually(t, "it is found", func() bool { return statusOf(r.ask(get("/"))) == 200 })
	if text := <-warned; text != "api.example.com. is found again" {
		t.Error(text)
	}
}

// TestRefusedNames: a name that leads to this machine is served nothing, and one
// of which that is known beforehand is reported.
func TestRefusedNames(t *testing.T) {
	_, resolver := newNameServer(t, "api.example.com. 60 IN A 127.0.0.1", "api.example.com. 60 IN AAAA ::1")
	b := newBackend(t, echo)
	r := newRig(t, func(cfg *proxy.Config) { cfg.Lookup = resolver.Lookup })
	r.apply(rule("", namedAt(t, b.addr)))
	if got := r.ask(get("/")); statusOf(got) != 503 {
		t.Errorf("%q", got)
	}
	r.log.wait(t, "its addresses are refused: ")
	for _, host := range []string{"localhost", "127.0.0.1", "169.254.169.254"} {
		s, err := model.Parse(rule("", "dns:"+host+":80"))
		if err != nil {
			t.Fatal(err)
		}
		reports, err := r.proxy.Apply(s)
		if err != nil || len(reports) != 1 || !strings.Contains(reports[0].String(), "NameRefused: service s:80: "+host) {
			t.Errorf("%s: %v, %v", host, reports, err)
		}
		if got := r.ask(get("/")); statusOf(got) != 503 {
			t.Errorf("%s: %q", host, got)
		}
	}
	if n := b.connections(); n > 0 {
		t.Errorf("%d connections", n)
	}
}

// namedMemory is a proxy in memory whose one name leads where the test says.
type namedMemory struct {
	*memory
	dials chan netip.AddrPort

	mu    sync.Mutex
	addrs []netip.Addr
	hangs bool
}

func (m *namedMemory) lead(addrs ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.addrs = nil
	for _, text := range addrs {
		m.addrs = append(m.addrs, netip.MustParseAddr(text))
	}
}

func (m *namedMemory) lookup(ctx context.Context, _ string) (resolve.Answer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.hangs {
		m.mu.Unlock()
		<-ctx.Done()
		m.mu.Lock()
		return resolve.Answer{}, errors.Join(resolve.ErrFailed, ctx.Err())
	}
	return resolve.Answer{Addrs: m.addrs, TTL: 10 * time.Second}, nil
}

// ask sends a request, and answers it as the backend where dialled says that
// there is a new connection.
func (m *namedMemory) ask(c *peer, dialled string) *peer {
	m.t.Helper()
	tell(c, get("/"))
	if at := <-m.dials; at.String() != dialled {
		m.t.Errorf("%s was dialled, and not %s", at, dialled)
	}
	b := m.backend()
	b.readHead()
	tell(b, ok2)
	if got := answerOf(c); got != ok2 {
		m.t.Errorf("%q", got)
	}
	return b
}

// readHead reads a head without a deadline.
func (p *peer) readHead() {
	for {
		if line, err := p.r.ReadString('\n'); err != nil || line == "\r\n" {
			return
		}
	}
}

func withName(t *testing.T, prepare, test func(*namedMemory)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m := &namedMemory{
			memory: &memory{t: t, clients: make(chan net.Conn), dialed: make(chan net.Conn, 9), closed: make(chan struct{}), start: time.Now()},
			dials:  make(chan netip.AddrPort, 9),
		}
		prepare(m)
		p, err := proxy.New(proxy.Config{
			Filters: filter.Table(), Metrics: observe.NewMetrics(0), Limits: settings.DefaultLimits(), Lookup: m.lookup,
			Listen: func(string) (net.Listener, error) { return m, nil },
			Dial: func(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
				m.dials <- addr
				return m.dial(ctx, addr)
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		m.proxy = p
		s, err := model.Parse(rule("", "dns:api.example.com:80"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Apply(s); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			p.Registry().Run(ctx)
		}()
		test(m)
		m.Close()
		cancel()
		<-done
	})
}

// TestNameThatMoves: new requests go where the name leads now, and connections to
// where it led are let go.
func TestNameThatMoves(t *testing.T) {
	withName(t, func(m *namedMemory) { m.lead("192.0.2.1") }, func(m *namedMemory) {
		c := m.client()
		old := m.ask(c, "192.0.2.1:80")
		m.lead("192.0.2.2")
		// Kept busy, so that the connection is not closed for being idle.
		for range 4 {
			time.Sleep(2 * time.Second)
			tell(c, get("/"))
			old.readHead()
			tell(old, ok2)
			answerOf(c)
		}
		if endpoints, _, idle := m.proxy.Registry().Size(); endpoints != 1 || idle != 1 {
			t.Errorf("%d endpoints, %d idle connections", endpoints, idle)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if rest := all(old); rest != "" {
			t.Errorf("%q", rest)
		}
		m.ask(c, "192.0.2.2:80")
		if endpoints, _, _ := m.proxy.Registry().Size(); endpoints != 1 {
			t.Errorf("%d endpoints", endpoints)
		}
		m.lead("192.0.2.2", "192.0.2.3")
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if endpoints, _, _ := m.proxy.Registry().Size(); endpoints != 2 {
			t.Errorf("%d endpoints", endpoints)
		}
		c.nc.Close()
	})
}

// TestNameThatTakesLong: the first requests wait for a while, and are answered
// then.
func TestNameThatTakesLong(t *testing.T) {
	withName(t, func(m *namedMemory) { m.hangs = true }, func(m *namedMemory) {
		c := m.client()
		start := time.Now()
		tell(c, get("/"))
		if got := answerOf(c); statusOf(got) != 503 || time.Since(start) != 2*time.Second {
			t.Errorf("after %s: %q", time.Since(start), got)
		}
		c.nc.Close()
	})
}

// TestNameIsExplained: an explanation has what a name stands for.
func TestNameIsExplained(t *testing.T) {
	withName(t, func(m *namedMemory) { m.lead("192.0.2.1") }, func(m *namedMemory) {
		c := m.client()
		m.ask(c, "192.0.2.1:80")
		e, err := exchange.Explain(m.proxy.Generation(), exchange.Question{Method: "GET", URL: "http://a.example/"})
		if err != nil || e.Forward == nil {
			t.Fatal(e, err)
		}
		want := []exchange.ExplainedEndpoint{{Addr: "192.0.2.1:80", Name: "api.example.com:80"}}
		if got := e.Forward.Backends[0].Endpoints; !slices.Equal(got, want) {
			t.Errorf("%+v", got)
		}
		c.nc.Close()
	})
}

// Nothing is sent to link-local addresses and to those of clouds' metadata, also
// where they stand among endpoints as they are: whoever may write EndpointSlices
// is not to reach them through us.
func TestRefusedEndpoints(t *testing.T) {
	b := newBackend(t, always(ok2))
	r := newRig(t, nil)
	for _, address := range []string{"169.254.169.254:80", "100.100.100.200:80", "[fd00:ec2::254]:80", "[64:ff9b::a9fe:a9fe]:80", "0.0.0.0:80", "[ff02::1]:80"} {
		s, err := model.Parse(rule("", address, b.addr))
		if err != nil {
			t.Fatal(err)
		}
		reports, err := r.proxy.Apply(s)
		if err != nil || len(reports) != 1 || reports[0].Code != reason.NameRefused {
			t.Errorf("%s: %v, %v", address, err, reports)
		}
		for range 4 {
			if got := r.ask(get("/")); got != ok2 {
				t.Errorf("%s: %q", address, got)
			}
		}
	}
	s, err := model.Parse(rule("", "169.254.169.254:80"))
	if err != nil {
		t.Fatal(err)
	}
	r.proxy.Apply(s)
	if got := r.ask(get("/")); statusOf(got) != 503 {
		t.Errorf("%q", got)
	}
}
