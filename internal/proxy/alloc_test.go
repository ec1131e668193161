package proxy_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/observe"
	"windrose.dev/windrose/internal/proxy"
	"windrose.dev/windrose/internal/proxy/filter/edge"
	"windrose.dev/windrose/internal/proxy/settings"
)

// childVariable has the test binary be a proxy and nothing else, so that what
// it allocates can be told from what the tests allocate.
const childVariable = "WINDROSE_TEST_PROXY_PROCESS"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) == "" {
		os.Exit(m.Run())
	}
	if err := proxyProcess(bufio.NewReader(os.Stdin), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// proxyProcess reads a Snapshot from one line, says where its ports listen,
// and then answers each line with the number of allocations so far.
func proxyProcess(in *bufio.Reader, out io.Writer) error {
	line, err := in.ReadString('\n')
	if err != nil {
		return err
	}
	data, err := base64.StdEncoding.DecodeString(strings.TrimSpace(line))
	if err != nil {
		return err
	}
	s, err := model.Decode(data)
	if err != nil {
		return err
	}
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	metrics := observe.NewMetrics(0)
	log := observe.NewLog(null, observe.LogCompact, metrics.Dropped)
	go log.Run(context.Background())
	p, err := proxy.New(proxy.Config{
		Filters: edge.Table(), Metrics: metrics, Log: log, Limits: settings.DefaultLimits(),
		Address: func(model.Listener) string { return "127.0.0.1:0" },
	})
	if err != nil {
		return err
	}
	go p.Run(context.Background())
	if _, err := p.Apply(s); err != nil {
		return err
	}
	plain, secure := p.Addr(model.ListenerID{Port: 80}), p.Addr(model.ListenerID{Port: 443})
	if secure == nil {
		secure = plain // there is no other
	}
	fmt.Fprintln(out, plain, secure)
	for {
		if _, err := in.ReadString('\n'); err != nil {
			return nil // the test has ended
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		fmt.Fprintln(out, m.Mallocs)
	}
}

// child is such a process.
type child struct {
	t   *testing.T
	in  io.Writer
	out *bufio.Reader
	// plain and secure are where it listens.
	plain, secure string
	fields        string // of the requests, besides
}

func newChild(t *testing.T, s *model.Snapshot) *child {
	t.Helper()
	data, err := model.Encode(s)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	c := &child{t: t, in: in, out: bufio.NewReader(out)}
	fmt.Fprintln(in, base64.StdEncoding.EncodeToString(data))
	if _, err := fmt.Fscanln(c.out, &c.plain, &c.secure); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *child) mallocs() (n int64) {
	c.t.Helper()
	fmt.Fprintln(c.in)
	if _, err := fmt.Fscanln(c.out, &n); err != nil {
		c.t.Fatal(err)
	}
	return n
}

// TestAllocations has a whole proxy, over real sockets, with log, metrics and
// request ids on, allocate next to nothing for a request.
func TestAllocations(t *testing.T) {
	b := newBackend(t, always(text(strings.Repeat("x", 512))))
	s := tlsRule(t, b.addr, map[string]keyPair{"*": newKeyPair(t, "x")})
	c := newChild(t, s)
	c.judge("plain", func() (net.Conn, error) { return net.Dial("tcp", c.plain) })
	c.judge("TLS", func() (net.Conn, error) {
		return tls.Dial("tcp", c.secure, &tls.Config{InsecureSkipVerify: true})
	})
}

// TestAllocationsOfPolicies: conditions, edits, rewrites, timeouts and retry
// policies cost no allocation either, as long as nothing goes wrong.
func TestAllocationsOfPolicies(t *testing.T) {
	b := newBackend(t, always(text(strings.Repeat("x", 512))))
	s, err := model.Parse(rules(`rule other prefix:/shop when=all(method:GET,header:host=b.example,query:id=2) redirect=302
rule r prefix:/shop rank=1 when=all(query:id=1,not(header:x-absent)) forward timeout=30s attempt-timeout=20s retry=3 retry-codes=503 request-remove=x-gone request-set=X-New:1 response-add=X-Back:2
backend s:80 1 response-set=X-Share:3 rewrite= rewrite-path=/shop>/store rewrite-host=inner.example`, "s:80="+b.addr))
	if err != nil {
		t.Fatal(err)
	}
	c := newChild(t, s)
	c.judge("policies", func() (net.Conn, error) { return net.Dial("tcp", c.plain) })
}

// asks adds the fields to a request.
func (c *child) asks(request string) string {
	return strings.Replace(request, "\r\n", "\r\n"+c.fields, 1)
}

// judge has clients ask, and holds what the proxy allocates for it against the
// budget.
func (c *child) judge(name string, dial func() (net.Conn, error)) {
	const clients, budget = 8, 0.1
	t, requests := c.t, 1000
	t.Helper()
	if raceEnabled {
		t.Log("the race detector empties pools: allocations are reported, not judged")
		requests = 50
	}
	var peers []*peer
	for range clients {
		nc, err := dial()
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		peers = append(peers, newPeer(t, nc))
	}
	round := func(n int) {
		var asking sync.WaitGroup
		for _, p := range peers {
			asking.Go(func() {
				for i := range n {
					if i%4 == 0 {
						p.send(c.asks(post("/shop/cart?id=1", "hello")))
					} else {
						p.send(c.asks(get("/shop/cart?id=1")))
					}
					if got := p.answer("GET"); statusOf(got) != 200 {
						t.Errorf("%q", got)
						return
					}
				}
			})
		}
		asking.Wait()
	}
	round(requests / 2)
	before := c.mallocs()
	round(requests)
	each := float64(c.mallocs()-before) / float64(clients*requests)
	t.Logf("%s: %.3f allocations a request", name, each)
	if each > budget && !raceEnabled {
		t.Errorf("%s: %.3f allocations a request, want %.1f at most", name, each, budget)
	}
}
