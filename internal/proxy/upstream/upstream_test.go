package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/mux"
	"windrose.dev/windrose/internal/proxy/sock"
	"windrose.dev/windrose/internal/reason"
)

var addr = netip.MustParseAddrPort("10.0.0.1:80")

// pipes dials in-memory connections and keeps the far ends.
type pipes struct{ far []net.Conn }

func (p *pipes) dial(context.Context, netip.AddrPort) (net.Conn, error) {
	near, far := net.Pipe()
	p.far = append(p.far, far)
	return near, nil
}

func newRegistry(p *pipes) *Registry {
	return NewRegistry(Config{Shards: 2, Clock: sock.NewClock(), Dial: p.dial})
}

// poolOf is the pool of an address, of which a test is a user.
func poolOf(r *Registry, addr netip.AddrPort, t Transport) *Pool {
	return r.use([]netip.AddrPort{addr}, t)[0]
}

func connect(t *testing.T, e *Pool) *Conn {
	t.Helper()
	link, err := e.Connect(0, &sock.Pool{}, time.Second, Client{})
	if err != nil {
		t.Fatal(err)
	}
	return link.Conn
}

func TestConnectionsAreReused(t *testing.T) {
	p := &pipes{}
	r := newRegistry(p)
	e := poolOf(r, addr, Transport{})
	if e.Idle(0, 1) != nil {
		t.Fatal("an idle connection out of nothing")
	}
	c := connect(t, e)
	if c.Reused {
		t.Fatal("a new connection was used before")
	}
	e.Release(c, 0, 1)
	if got := e.Idle(1, 1); got != c || !got.Reused {
		t.Error("another shard's connection was not taken")
	}
	if poolOf(r, addr, Transport{}) != e {
		t.Error("one address, two endpoints")
	}
}

func TestRetiredEndpointsCloseTheirConnections(t *testing.T) {
	p := &pipes{}
	r := newRegistry(p)
	e := poolOf(r, addr, Transport{})
	idle := connect(t, e)
	busy := connect(t, e)
	e.Release(idle, 0, 1)
	r.unuse([]*Pool{e})
	e.Release(busy, 0, 2)
	for i, far := range p.far {
		if _, err := far.Read(make([]byte, 1)); err == nil {
			t.Errorf("connection %d is still open", i)
		}
	}
	if poolOf(r, addr, Transport{}) == e {
		t.Error("a retired endpoint came back")
	}
}

func TestIdleConnectionsGrowOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pipes{}
		r := newRegistry(p)
		ctx, cancel := context.WithCancel(t.Context())
		go r.Run(ctx)
		e := poolOf(r, addr, Transport{})
		c := connect(t, e)
		e.Release(c, 0, r.cfg.Clock.Now())
		time.Sleep(3 * time.Second)
		if _, _, idle := r.Size(); idle != 1 {
			t.Errorf("%d idle after 3 s", idle)
		}
		time.Sleep(3 * time.Second)
		if _, _, idle := r.Size(); idle != 0 {
			t.Errorf("%d idle after 6 s", idle)
		}
		cancel()
		synctest.Wait()
	})
}

func TestConnectErrors(t *testing.T) {
	for want, dial := range map[error]func(context.Context, netip.AddrPort) (net.Conn, error){
		ErrRefused: func(context.Context, netip.AddrPort) (net.Conn, error) { return nil, errors.New("refused") },
		ErrTimeout: func(ctx context.Context, _ netip.AddrPort) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() },
	} {
		r := NewRegistry(Config{Shards: 1, Clock: sock.NewClock(), Dial: dial})
		if _, err := poolOf(r, addr, Transport{}).Connect(0, &sock.Pool{}, time.Millisecond, Client{}); err != want {
			t.Errorf("got %v, want %v", err, want)
		}
	}
}

func TestUnaskedBytesEndAConnection(t *testing.T) {
	p := &pipes{}
	e := poolOf(newRegistry(p), addr, Transport{})
	c := connect(t, e)
	go p.far[0].Write([]byte("HTTP/1.1 200 OK\r\n\r\n"))
	c.Fill()
	e.Release(c, 0, 1)
	if e.Idle(0, 1) != nil {
		t.Error("a connection with unasked bytes was kept")
	}
}

// A service keeps its turn when its endpoints change, and a host its load whatever ways
// it is spoken to.
func TestServiceKeepsItsTurn(t *testing.T) {
	r := newRegistry(&pipes{})
	snapshot := func(endpoints ...string) *model.Snapshot {
		text := "service a/b:80 round-robin\n"
		for _, e := range endpoints {
			text += "endpoint a/b:80 " + e + "\n"
		}
		s, err := model.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	first, second := snapshot("10.0.0.1:1", "10.0.0.2:1"), snapshot("10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1")
	plan := r.Prepare(first)
	plan.Commit()
	c := plan.Clusters[model.ParseServiceID("a/b:80")]
	pick := func() string {
		l, err := c.Reserve(Pick{})
		if err != nil {
			t.Fatal(err)
		}
		l.Done(Result{})
		return l.Endpoint.Name
	}
	if got := pick(); got != "10.0.0.1:1" {
		t.Errorf("first %s", got)
	}
	host := c.Endpoints()[0].Host
	r.UpdateEndpoints(second, first)
	if got := pick(); got != "10.0.0.2:1" {
		t.Errorf("then %s", got)
	}
	if c.Endpoints()[0].Host != host {
		t.Error("a change elsewhere made an address another host")
	}
	other := poolOf(r, host.Addr, Transport{Protocol: model.HTTP2})
	if other == c.Endpoints()[0].Pool || other.Host != host {
		t.Error("one address, spoken to in two ways, is two pools of one host")
	}
}

// What a use of an endpoint came to is known of its host, whatever way it is spoken to.
func TestHostsKnowTheirFailures(t *testing.T) {
	r := newRegistry(&pipes{})
	plain, other := poolOf(r, addr, Transport{}), poolOf(r, addr, Transport{Protocol: model.HTTP2})
	for _, step := range []struct {
		result Result
		want   uint32
	}{
		{Result{reason.ConnectFailed, 0}, 1},
		{Result{reason.OK, 503}, 2},
		{Result{}, 2},                     // nothing was asked
		{Result{reason.ClientGone, 0}, 2}, // the client's doing
		{Result{reason.BodyTooLarge, 0}, 2},
		{Result{reason.UpstreamTruncated, 200}, 3},
		{Result{reason.OK, 404}, 0},
		{Result{reason.UpstreamTimeout, 0}, 1},
	} {
		l := Lease{Endpoint: &Endpoint{Pool: plain}}
		l.Endpoint.Active.Add(1)
		if l.Done(step.result); other.Failures.Load() != step.want || other.Active.Load() != 0 {
			t.Errorf("after %v: %d failures, not %d, and %d under way", step.result, other.Failures.Load(), step.want, other.Active.Load())
		}
	}
}

// Clusters are the same as long as their service is defined in the same way, and what no
// snapshot has is retired.
func TestClustersOutliveSnapshots(t *testing.T) {
	r := newRegistry(&pipes{})
	apply := func(text string) map[model.ServiceID]*Cluster {
		s, err := model.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		plan := r.Prepare(s)
		plan.Commit()
		return plan.Clusters
	}
	const two = "service a:1 round-robin\nservice b:1 round-robin\nendpoint a:1 10.0.0.1:1\nendpoint b:1 10.0.0.1:1\n"
	before := apply(two)
	after := apply(strings.Replace(two, "service b:1 round-robin", "service b:1 least-request", 1))
	if after[model.ParseServiceID("a:1")] != before[model.ParseServiceID("a:1")] || after[model.ParseServiceID("b:1")] == before[model.ParseServiceID("b:1")] {
		t.Error("a cluster is another where its definition is, and only there")
	}
	if pools, services, _ := r.Size(); pools != 1 || services != 2 {
		t.Errorf("%d pools, %d services", pools, services)
	}
	pool := after[model.ParseServiceID("a:1")].Endpoints()[0].Pool
	apply("service b:1 least-request\nendpoint b:1 10.0.0.1:1\n")
	if pool.Retired() {
		t.Error("a pool that another service has was retired")
	}
	s, _ := model.Parse("service b:1 least-request\nservice c:1 round-robin\nendpoint c:1 10.0.0.3:1\n")
	r.Prepare(s).Discard()
	if pools, _, _ := r.Size(); pools != 1 {
		t.Errorf("%d pools after a plan that was discarded", pools)
	}
	apply("")
	if pools, services, _ := r.Size(); pools != 0 || services != 0 || !pool.Retired() {
		t.Errorf("%d pools, %d services, retired %t", pools, services, pool.Retired())
	}
}

// TestEachConnectionHasItsProtocol: what an endpoint chooses for one connection
// says nothing of another that is made at the same time.
func TestEachConnectionHasItsProtocol(t *testing.T) {
	var turn, chosen atomic.Int64 // chosen: how often HTTP/2
	server := httptest.NewUnstartedServer(nil)
	server.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		config := server.TLS.Clone()
		config.GetConfigForClient, config.NextProtos = nil, []string{"http/1.1"}
		if turn.Add(1)%2 == 0 {
			config.NextProtos = []string{"h2"}
			chosen.Add(1)
		}
		return config, nil
	}}
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	r := NewRegistry(Config{Shards: 1, Clock: sock.NewClock(), HTTP2: []*mux.Config{http2Config()}})
	e := poolOf(r, netip.MustParseAddrPort(server.Listener.Addr().String()), Transport{
		Protocol: model.Negotiated,
		TLS:      &TLS{protocol: model.Negotiated, Config: &tls.Config{NextProtos: alpn[model.Negotiated], InsecureSkipVerify: true}},
	})
	stop := make(chan struct{})
	var others, dialling sync.WaitGroup
	others.Go(func() { // dials that end all the time, each with another choice
		for {
			select {
			case <-stop:
				return
			default:
				e.http2.Store(!e.http2.Load())
			}
		}
	})
	var streams atomic.Int64
	for range 4 {
		dialling.Go(func() {
			for range 10 {
				link, err := e.connect(0, &sock.Pool{}, time.Minute, Client{})
				switch {
				case err != nil:
					t.Error(err)
				case link.Stream != nil:
					streams.Add(1)
				default:
					if got := link.Conn.Net().(*tls.Conn).ConnectionState().NegotiatedProtocol; got != "http/1.1" {
						t.Errorf("%q is used as HTTP/1", got)
					}
					link.Conn.Close()
				}
			}
		})
	}
	dialling.Wait()
	close(stop)
	others.Wait()
	r.unuse([]*Pool{e})
	if streams.Load() != chosen.Load() || chosen.Load() != 20 {
		t.Errorf("%d streams, where HTTP/2 was chosen %d times", streams.Load(), chosen.Load())
	}
}

func http2Config() *mux.Config {
	return &mux.Config{
		Limits: msg.Limits{HeadBytes: 1 << 16, Fields: 100}, MaxStreams: 10, WriteTimeout: time.Minute,
		Header: time.Minute, Idle: time.Minute, PingTimeout: time.Minute,
		Growth: new(atomic.Int64), Full: func() bool { return false },
	}
}

// settings is what a server says first.
var settings = []byte{0, 0, 0, 4, 0, 0, 0, 0, 0}

// Whoever waits for a connection that another makes waits as long as it wants to
// itself, neither shorter nor longer.
func TestDialsOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dials atomic.Int64
		r := NewRegistry(Config{
			Shards: 1, Clock: sock.NewClock(), HTTP2: []*mux.Config{http2Config()},
			Dial: func(ctx context.Context, _ netip.AddrPort) (net.Conn, error) {
				if dials.Add(1) == 1 {
					<-ctx.Done() // the endpoint does not answer at first
					return nil, ctx.Err()
				}
				near, far := net.Pipe()
				go io.Copy(io.Discard, far)
				go far.Write(settings)
				return near, nil
			},
		})
		e := poolOf(r, addr, Transport{Protocol: model.HTTP2})
		dial := func(limit time.Duration) (link Link, took time.Duration, err error) {
			start := time.Now()
			link, err = e.Connect(0, &sock.Pool{}, limit, Client{})
			return link, time.Since(start), err
		}
		var dialling sync.WaitGroup
		dialling.Go(func() {
			if _, took, err := dial(time.Second); err != ErrTimeout || took != time.Second {
				t.Errorf("who dials: %v after %v", err, took)
			}
		})
		synctest.Wait()
		dialling.Go(func() {
			if _, took, err := dial(100 * time.Millisecond); err != ErrTimeout || took != 100*time.Millisecond {
				t.Errorf("who is in a hurry: %v after %v", err, took)
			}
		})
		dialling.Go(func() {
			link, _, err := dial(5 * time.Second)
			if err != nil {
				t.Errorf("who has time: %v", err)
				return
			}
			link.Stream.Close()
		})
		dialling.Wait()
		r.unuse([]*Pool{e})
		time.Sleep(2 * time.Minute) // what was retired ends
	})
}

// A connection has as many streams as the endpoint takes; for more there is another.
func TestStreamsBeyondALimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dials atomic.Int64
		config := http2Config()
		config.MaxStreams = 2
		r := NewRegistry(Config{
			Shards: 1, Clock: sock.NewClock(), HTTP2: []*mux.Config{config},
			Dial: func(context.Context, netip.AddrPort) (net.Conn, error) {
				dials.Add(1)
				near, far := net.Pipe()
				go io.Copy(io.Discard, far)
				go far.Write(settings)
				return near, nil
			},
		})
		e := poolOf(r, addr, Transport{Protocol: model.HTTP2})
		var open []*mux.Stream
		for i := range 5 {
			link, ok := e.Reuse(0, 0)
			if !ok {
				var err error
				if link, err = e.Connect(0, &sock.Pool{}, time.Second, Client{}); err != nil {
					t.Fatal(err)
				}
			}
			open = append(open, link.Stream)
			if want := int64(i/2 + 1); dials.Load() != want {
				t.Errorf("%d streams take %d connections, want %d", i+1, dials.Load(), want)
			}
		}
		open[0].Close()
		if link, ok := e.Reuse(0, 0); !ok || dials.Load() != 3 {
			t.Error("the place of a stream that has ended is not used")
		} else {
			open[0] = link.Stream
		}
		for _, s := range open {
			s.Close()
		}
		r.unuse([]*Pool{e})
		time.Sleep(2 * time.Minute)
	})
}
