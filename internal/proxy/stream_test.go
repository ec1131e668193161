package proxy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy"
	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/proxy/filter"
	"windrose.dev/windrose/internal/proxy/upstream"
)

func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	r, _ := serve(t, "", echo)
	c := r.dial()
	var all strings.Builder
	for i := range 20 {
		if i%3 == 2 {
			all.WriteString(post(fmt.Sprintf("/%d", i), strings.Repeat("x", i)))
		} else {
			all.WriteString(get(fmt.Sprintf("/%d", i)))
		}
	}
	c.send(all.String())
	for i := range 20 {
		if got := c.answer("GET"); !strings.Contains(got, fmt.Sprintf(" /%d HTTP/1.1", i)) {
			t.Fatalf("answer %d: %q", i, got)
		}
	}
}

func TestRequestBehindABodyThatCameInPieces(t *testing.T) {
	for _, framing := range []string{"Content-Length: 10\r\n\r\n|01234|56789", "Transfer-Encoding: chunked\r\n\r\n|5\r\n01234\r\n5\r\n5|6789\r\n0\r\n\r\n"} {
		reached := make(chan string, 4)
		r, _ := serve(t, "", func(p *peer) {
			for m := p.head(); m != ""; m = p.head() {
				reached <- m
				m += p.body(m)
				p.send(text(m[strings.Index(m, "\r\n\r\n"):]))
			}
		})
		parts := strings.Split("POST / HTTP/1.1\r\nHost: a\r\n"+framing, "|")
		c := r.dial()
		c.send(parts[0])
		<-reached // the rest comes while the backend waits
		c.send(parts[1])
		c.send(parts[2] + get("/next"))
		if got := c.answer("POST"); strings.Count(got, "0") < 1 || !strings.Contains(got, "789") {
			t.Errorf("%q", got)
		}
		if m := <-reached; !strings.HasPrefix(m, "GET /next ") {
			t.Errorf("the backend got %q", m)
		}
		if got := c.answer("GET"); !strings.HasPrefix(got, "HTTP/1.1 200") {
			t.Errorf("%q", got)
		}
	}
}

func TestExpectContinue(t *testing.T) {
	r, _ := serve(t, "", func(p *peer) {
		for m := p.head(); m != ""; m = p.head() {
			if fieldOf(m, "Expect") != "100-continue" {
				p.send("HTTP/1.1 500 No Expect\r\nContent-Length: 0\r\n\r\n")
			}
			p.send("HTTP/1.1 100 Continue\r\n\r\n")
			p.send(text(p.body(m)))
		}
	})
	c := r.dial()
	for range 3 {
		c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
		if got := c.head(); got != "HTTP/1.1 100 Continue\r\n\r\n" {
			t.Fatalf("%q", got)
		}
		c.send("hello")
		if got := c.answer("POST"); got != text("hello") {
			t.Fatalf("%q", got)
		}
	}
}

func TestFinalAnswerInsteadOfContinue(t *testing.T) {
	r, _ := serve(t, "", func(p *peer) {
		p.head()
		p.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
		p.rest()
	})
	c := r.dial()
	c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
	want := "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"
	if got := c.answer("POST"); got != want {
		t.Errorf("%q", got)
	}
	c.closed()
}

func TestAnswerBeforeTheEndOfTheBody(t *testing.T) {
	r, _ := serve(t, "", func(p *peer) {
		p.head()
		p.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		p.rest()
	})
	for range 20 {
		c := r.dial()
		c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n\r\n")
		// The client does not look at the answer before it has sent its body:
		// a reset would take the answer from it.
		c.send(strings.Repeat("x", 300_000))
		if got := c.answer("POST"); got != closing(ok2) {
			t.Fatalf("%q", got)
		}
		c.nc.Close()
	}
}

// TestAnswerGrowsWithTheRequest has both bodies under way at the same time.
func TestAnswerGrowsWithTheRequest(t *testing.T) {
	r, _ := serve(t, "", func(p *peer) {
		p.head()
		p.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		for {
			line := p.line()
			if line == "0\r\n" {
				p.send("0\r\n\r\n")
				p.line()
				return
			}
			p.send(line + p.line())
		}
	})
	c := r.dial()
	c.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
	if got := c.head(); !strings.HasPrefix(got, "HTTP/1.1 200") {
		t.Fatalf("%q", got)
	}
	for i := range 10 {
		c.send(fmt.Sprintf("2\r\n%02d\r\n", i))
		if got := c.line() + c.line(); got != fmt.Sprintf("2\r\n%02d\r\n", i) {
			t.Fatalf("%q", got)
		}
	}
	c.send("0\r\n\r\n")
	if got := c.line() + c.line(); got != "0\r\n\r\n" {
		t.Fatalf("%q", got)
	}
	c.closed()
}

const hundredMB = 100 << 20

// TestLargeBodies streams both ways, in memory that does not grow.
func TestLargeBodies(t *testing.T) {
	size := int64(hundredMB)
	r, _ := serve(t, "", func(p *peer) {
		m := p.head()
		p.nc.SetDeadline(time.Now().Add(5 * patience))
		n, _ := io.CopyN(io.Discard, p.r, size)
		p.send(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", n))
		io.Copy(p.nc, io.LimitReader(&filler{}, n))
		_ = m
	})
	before := totalAlloc()
	c := r.dial()
	c.nc.SetDeadline(time.Now().Add(5 * patience))
	c.send(fmt.Sprintf("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", size))
	if n, err := io.Copy(struct{ io.Writer }{c.nc}, io.LimitReader(&filler{}, size)); n != size || err != nil {
		t.Fatal(n, err)
	}
	if got := c.head(); fieldOf(got, "Content-Length") != fmt.Sprint(size) {
		t.Fatalf("%q", got)
	}
	c.nc.SetDeadline(time.Now().Add(5 * patience))
	if n, err := io.CopyN(io.Discard, c.r, size); n != size || err != nil {
		t.Fatal(n, err)
	}
	if grown := totalAlloc() - before; grown > hundredMB/2 {
		t.Errorf("%d bytes were allocated", grown)
	}
}

type filler struct{}

func (*filler) Read(p []byte) (int, error) { return len(p), nil }

func totalAlloc() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// TestClientAbortEndsTheWork checks that a backend that is still working sees
// its connection close when the client goes.
func TestClientAbortEndsTheWork(t *testing.T) {
	leave := map[string]func(*peer){
		"close":      func(c *peer) { c.nc.Close() },
		"reset":      (*peer).reset,
		"half-close": func(c *peer) { c.nc.(*net.TCPConn).CloseWrite() },
	}
	requests := map[string]string{
		"at the end of the request":  post("/work", "x"),
		"in the middle of its body":  "POST /work HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nxxx",
		"in the middle of its chunk": "POST /work HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nxxx",
	}
	for how, leave := range leave {
		for where, request := range requests {
			t.Run(how+" "+where, func(t *testing.T) {
				working, gone := newSignal(), newSignal()
				r, _ := serve(t, "", func(p *peer) {
					p.head()
					working.fire()
					p.rest()
					gone.fire()
				})
				c := r.dial()
				c.send(request)
				working.wait(t, "the request reaches the backend")
				leave(c)
				gone.wait(t, "the backend sees its connection close")
				if line := r.log.wait(t, "/work"); !strings.Contains(line, " 499 client_gone ") {
					t.Errorf("logged %q", line)
				}
				eventually(t, "no connection is left", func() bool { return r.proxy.Connections() == 0 })
			})
		}
	}
}

// TestClientAbortDuringTheAnswer has the client leave while an endless answer
// comes.
func TestClientAbortDuringTheAnswer(t *testing.T) {
	gone := newSignal()
	r, _ := serve(t, "", func(p *peer) {
		p.head()
		p.send("HTTP/1.1 200 OK\r\n\r\n")
		for piece := bytes.Repeat([]byte("x"), 8<<10); ; {
			if _, err := p.nc.Write(piece); err != nil {
				gone.fire()
				return
			}
		}
	})
	c := r.dial()
	c.send(get("/endless"))
	c.head()
	c.line()
	c.nc.Close()
	gone.wait(t, "the backend sees its connection close")
	if line := r.log.wait(t, "/endless"); !strings.Contains(line, " 200 client_gone ") {
		t.Errorf("logged %q", line)
	}
}

// TestStaleConnection has the backend close a connection that was idle at the
// moment when the next request reaches it.
func TestStaleConnection(t *testing.T) {
	for _, tc := range []struct {
		request string
		status  int
		conns   int
	}{
		{get("/b"), 200, 2},
		{"PUT /b HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", 200, 2},
		{post("/b", "x"), 502, 1},
	} {
		r, b := serve(t, "", func(p *peer) {
			if strings.HasPrefix(p.message(), "GET /first ") {
				p.send(ok2)
				p.message() // and it closes, without an answer
				return
			}
			p.send(ok2)
			p.rest()
		})
		c := r.dial()
		c.send(get("/first"))
		c.answer("GET")
		c.send(tc.request)
		if got := statusOf(c.answer("GET")); got != tc.status || b.connections() != tc.conns {
			t.Errorf("%.10q: status %d over %d connections", tc.request, got, b.connections())
		}
	}
}

// TestFreshConnectionIsNotRetried has the backend close connections that never
// carried an answer: it may be the request that makes it.
func TestFreshConnectionIsNotRetried(t *testing.T) {
	r, b := serve(t, "", func(p *peer) { p.message() })
	if got := r.ask(get("/")); statusOf(got) != 502 || b.connections() != 1 {
		t.Errorf("%q over %d connections", got, b.connections())
	}
}

// TestClosedIdleConnectionIsNotUsed has the backend close an idle connection
// before the next request, which may then be any.
func TestClosedIdleConnectionIsNotUsed(t *testing.T) {
	for _, end := range []func(*peer){func(*peer) {}, (*peer).reset} {
		closed := make(chan time.Time, 4)
		r, b := serve(t, "", func(p *peer) {
			p.message()
			p.send(ok2)
			end(p)
			p.nc.Close()
			closed <- time.Now()
		})
		c := r.dial()
		for i := range 4 {
			c.send(post("/", "x"))
			if got := c.answer("POST"); got != ok2 || b.connections() != i+1 {
				t.Fatalf("request %d: %q over %d connections", i, got, b.connections())
			}
			at := <-closed
			eventually(t, "it is long enough ago to be looked at", func() bool { return time.Since(at) > 3*time.Millisecond })
		}
	}
}

func TestBytesBehindAnAnswer(t *testing.T) {
	stray := "HTTP/1.1 500 Stray\r\nContent-Length: 0\r\n\r\n"
	t.Run("with it", func(t *testing.T) {
		r, b := serve(t, "", always(ok2+stray))
		c := r.dial()
		for i := range 3 {
			c.send(get("/"))
			if got := c.answer("GET"); got != ok2 || b.connections() != i+1 {
				t.Fatalf("request %d: %q over %d connections", i, got, b.connections())
			}
		}
	})
	for _, request := range []string{"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", get("/304")} {
		t.Run("after it, "+request[:4], func(t *testing.T) {
			answered, sent := make(chan bool), make(chan bool)
			r, b := serve(t, "", func(p *peer) {
				if m := p.message(); strings.HasPrefix(m, "POST") {
					p.send(ok2)
					return
				}
				p.send("HTTP/1.1 304 Not Modified\r\nContent-Length: 41\r\n\r\n")
				<-answered
				p.send(stray)
				sent <- true
				p.rest()
			})
			c := r.dial()
			c.send(request)
			c.answer("HEAD")
			answered <- true
			<-sent
			c.send(post("/", "x"))
			if got := c.answer("POST"); got != ok2 || b.connections() != 2 {
				t.Fatalf("%q over %d connections", got, b.connections())
			}
		})
	}
}

func TestRefusedConnectionGoesToTheNextEndpoint(t *testing.T) {
	dead := newBackend(t, echo)
	dead.kill()
	b := newBackend(t, always(ok2))
	r := newRig(t, nil)
	r.apply(rule("", dead.addr, b.addr))
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			c := r.dial()
			for range 50 {
				c.send(post("/", "x"))
				if got := c.answer("POST"); got != ok2 {
					t.Errorf("%q", got)
				}
			}
		})
	}
	clients.Wait()
}

func TestNowhereToGo(t *testing.T) {
	dead := newBackend(t, echo)
	dead.kill()
	r := newRig(t, nil)
	for _, tc := range []struct{ snapshot, want string }{
		{rule(""), failed(503, "Service Unavailable", "no_endpoint")},
		{rule("", dead.addr), failed(502, "Bad Gateway", "connect_failed")},
		{strings.ReplaceAll(rule(""), "host *", "host other.example"), failed(404, "Not Found", "no_route")},
		{strings.ReplaceAll(rule("", dead.addr), "forward=s:80", "forward=s:80*0"), failed(503, "Service Unavailable", "no_endpoint")},
		{strings.ReplaceAll(rule("", dead.addr), "forward=s:80", "respond=503:closed why=secret"), failed(503, "Service Unavailable", "closed")},
	} {
		r.apply(tc.snapshot)
		if got := r.ask(get("/")); plain(got) != tc.want {
			t.Errorf("got  %q\nwant %q", plain(got), tc.want)
		}
	}
}

func TestChunksThatGrowBeyondTheLimit(t *testing.T) {
	r, b := serve(t, "max-body=10", func(p *peer) { p.rest() })
	c := r.dial()
	c.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n01234567\r\n")
	eventually(t, "the first chunk reaches the backend", func() bool { return strings.Contains(b.bytes(), "01234567") })
	c.send("8\r\n01234567\r\n")
	want := closing(failed(413, "Content Too Large", "body_too_large"))
	if got := c.answer("POST"); plain(got) != want {
		t.Errorf("%q", got)
	}
	c.closed()
	if strings.Count(b.bytes(), "01234567") != 1 {
		t.Errorf("the backend got %q", b.bytes())
	}
}

func TestRequestIDs(t *testing.T) {
	r := newRig(t, nil)
	b := newBackend(t, echo)
	r.apply(rule("", b.addr))
	for sent, kept := range map[string]bool{
		"": false, "abc-123": true, "a b": false, "<script>": false, strings.Repeat("x", 129): false, strings.Repeat("x", 128): true,
	} {
		request := "GET / HTTP/1.1\r\nHost: a\r\nX-Request-ID: " + sent + "\r\n\r\n"
		got := fieldOf(strings.SplitN(r.ask(request), "\r\n\r\n", 2)[1], "X-Request-ID")
		if kept != (got == sent) || !kept && len(got) != 32 {
			t.Errorf("%q became %q", sent, got)
		}
	}
	r.apply(rule(""))
	answer := r.ask("GET / HTTP/1.1\r\nHost: a\r\nX-Request-ID: mine\r\n\r\n")
	if fieldOf(answer, "X-Request-ID") != "mine" || !strings.HasSuffix(answer, "\nrequest: mine\n") {
		t.Errorf("%q", answer)
	}
	broken := r.ask("GET / HTTP/1.1\r\nHost: a\r\nbroken\r\n\r\n")
	id := fieldOf(broken, "X-Request-ID")
	if len(id) != 32 || !strings.Contains(r.log.wait(t, "bad_request"), id) {
		t.Errorf("%q", broken)
	}
}

// failingConn is a connection to a backend whose writes fail after the first,
// and that answers then.
type failingConn struct {
	net.Conn
	mu     sync.Mutex
	writes int
	failed chan struct{}
	answer io.Reader
}

func (c *failingConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.writes++; c.writes == 1 {
		return len(p), nil
	}
	close(c.failed)
	return 0, &net.OpError{Op: "write", Err: os.NewSyscallError("write", syscall.EPIPE)}
}

func (c *failingConn) Read(p []byte) (int, error) {
	<-c.failed
	return c.answer.Read(p)
}

// TestLastPieceThatCannotBeWritten checks that a piece of a body never becomes
// a request, even if it looks like one and the backend did not take it.
func TestLastPieceThatCannotBeWritten(t *testing.T) {
	dialed := make(chan net.Conn, 4)
	r := newRig(t, func(cfg *proxy.Config) {
		cfg.Dial = func(context.Context, netip.AddrPort) (net.Conn, error) {
			near, _ := net.Pipe()
			c := &failingConn{Conn: near, failed: make(chan struct{}), answer: strings.NewReader(ok2)}
			dialed <- c
			return c, nil
		}
	})
	r.apply(rule("", "127.0.0.1:1"))
	inner := "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
	c := r.dial()
	c.send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", len(inner)))
	<-dialed
	c.send(inner)
	if got := c.answer("POST"); !strings.HasPrefix(got, "HTTP/1.1 200") {
		t.Fatalf("%q", got)
	}
	c.nc.(*net.TCPConn).CloseWrite()
	c.closed()
	if len(dialed) > 0 {
		t.Error("a part of the body became a request")
	}
}

// breaking is a filter that is broken.
type breaking struct{ inResponse bool }

// breakingTable has a broken filter in the place of rewrites.
func breakingTable(inResponse bool) []exchange.FilterSpec {
	all := filter.Table()
	i := slices.IndexFunc(all, func(s exchange.FilterSpec) bool { return s.Kind == (*model.Rewrite)(nil).Kind() })
	all[i] = exchange.Pure(func(*model.Rewrite) (exchange.Filter, error) { return breaking{inResponse}, nil })
	return all
}

func (b breaking) Request(*exchange.Exchange) bool {
	if !b.inResponse {
		panic("broken filter")
	}
	return false
}

func (b breaking) Response(*exchange.Exchange) {
	if b.inResponse {
		panic("broken filter")
	}
}

// TestDefectIsContained checks that a panic costs one connection, and holds
// nothing back.
func TestDefectIsContained(t *testing.T) {
	quiet := silenceStderr(t)
	defer quiet()
	for _, inResponse := range []bool{false, true} {
		b := newBackend(t, func(p *peer) {
			for p.head() != "" {
				p.send(ok2) // without waiting for a body
			}
		})
		r := newRig(t, func(cfg *proxy.Config) {
			cfg.Filters = breakingTable(inResponse)
			cfg.Limits.ConnectionsPerClient = 2
		})
		r.panics = 5
		r.apply(strings.Replace(rule("", b.addr), "rule r", "rule x prefix:/broken forward=s:80 rewrite= rewrite-host=x\nrule r", 1))
		ok := r.dial()
		for range 5 {
			c := r.dial()
			// With a body that is still coming there is a pump to be ended too.
			c.send("POST /broken HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nxxx")
			want := closing(failed(500, "Internal Server Error", "internal_error"))
			if got := c.answer("POST"); plain(got) != want {
				t.Fatalf("%q", got)
			}
			c.nc.Close()
			ok.send(get("/fine"))
			if got := ok.answer("GET"); got != ok2 {
				t.Fatalf("%q", got)
			}
			eventually(t, "one connection is left", func() bool { return r.proxy.Connections() == 1 })
		}
		endpoint := r.proxy.Registry().Pool(netip.MustParseAddrPort(b.addr), upstream.Transport{})
		eventually(t, "no request is counted at the endpoint", func() bool { return endpoint.Active.Load() == 0 })
	}
}

// silenceStderr keeps the stack traces of intended panics out of the output.
func silenceStderr(t *testing.T) func() {
	t.Helper()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	old := os.Stderr
	os.Stderr = null
	return func() { os.Stderr = old; null.Close() }
}

func TestLargeInvalidRequestsGetTheirAnswer(t *testing.T) {
	r, _ := serve(t, "max-body=10", echo)
	for range 20 {
		c := r.dial()
		c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n")
		c.send(strings.Repeat("x", 500_000))
		if got := c.answer("POST"); statusOf(got) != 413 {
			t.Fatalf("%q", got)
		}
		c.nc.Close()
	}
}

func TestTakenPortIsReported(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r := newRig(t, func(cfg *proxy.Config) { cfg.Address = func(model.Listener) string { return l.Addr().String() } })
	s, err := model.Parse(rule(""))
	if err != nil {
		t.Fatal(err)
	}
	reports, err := r.proxy.Apply(s)
	if err != nil || len(reports) != 1 || !strings.Contains(reports[0].String(), l.Addr().String()) || !strings.Contains(reports[0].String(), "--publish 80=") {
		t.Errorf("%v %v", reports, err)
	}
	if errors.Is(err, proxy.ErrClosed) {
		t.Error(err)
	}
}

// TestResetDuringAnUpload: that the backend breaks off is not the client's
// fault.
func TestResetDuringAnUpload(t *testing.T) {
	r, _ := serve(t, "", func(p *peer) {
		p.head()
		p.reset()
	})
	for range 50 {
		c := r.dial()
		c.send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 9\r\n\r\nfir")
		if got := c.answer("POST"); statusOf(got) != 502 {
			t.Fatalf("%q", got)
		}
		c.nc.Close()
	}
}
