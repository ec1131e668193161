package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/observe"
	"windrose.dev/windrose/internal/proxy"
	"windrose.dev/windrose/internal/proxy/filter"
	"windrose.dev/windrose/internal/proxy/settings"
)

// patience is how long a test waits for what must happen. It is never reached
// in a test that passes.
const patience = 20 * time.Second

// rig is a proxy on loopback sockets, or on whatever the configuration says.
type rig struct {
	t       *testing.T
	proxy   *proxy.Proxy
	metrics *observe.Metrics
	log     *lines
	// stop ends Run and returns how many connections were cut.
	stop func() int
	// panics is how many the test provokes; any other is a defect that it has found.
	panics uint64
}

// newRig starts a proxy. edit may change its configuration.
func newRig(t *testing.T, edit func(*proxy.Config)) *rig {
	t.Helper()
	metrics := observe.NewMetrics(0)
	out := &lines{changed: make(chan struct{})}
	log := observe.NewLog(out, observe.LogCompact, metrics.Dropped)
	cfg := proxy.Config{
		Filters: filter.Table(), Metrics: metrics, Log: log, Limits: settings.DefaultLimits(),
		Address:   func(model.Listener) string { return "127.0.0.1:0" },
		DrainWait: patience,
	}
	if edit != nil {
		edit(&cfg)
	}
	p, err := proxy.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cut := 0
	var running sync.WaitGroup
	running.Go(func() { cut, _ = p.Run(ctx) })
	logged, endLog := context.WithCancel(context.Background())
	var logging sync.WaitGroup
	logging.Go(func() { log.Run(logged) })
	stop := sync.OnceValue(func() int {
		cancel()
		running.Wait()
		endLog()
		logging.Wait()
		return cut
	})
	r := &rig{t: t, proxy: p, metrics: metrics, log: out, stop: stop}
	t.Cleanup(func() {
		stop()
		if n := metrics.Panics.Load(); n != r.panics {
			t.Errorf("%d panics were contained, %d expected", n, r.panics)
		}
	})
	return r
}

// apply serves a Snapshot in text form.
func (r *rig) apply(text string) {
	r.t.Helper()
	s, err := model.Parse(text)
	if err != nil {
		r.t.Fatal(err)
	}
	r.applySnapshot(s)
}

func (r *rig) applySnapshot(s *model.Snapshot) {
	r.t.Helper()
	reports, err := r.proxy.Apply(s)
	if err != nil || len(reports) > 0 {
		r.t.Fatal(err, reports)
	}
}

// addr is where a port of the Snapshot listens.
func (r *rig) addr(port uint16) string {
	r.t.Helper()
	a := r.proxy.Addr(model.ListenerID{Port: port})
	if a == nil {
		r.t.Fatalf("nothing listens for port %d", port)
	}
	return a.String()
}

// dial connects a raw client to port 80.
func (r *rig) dial() *peer { return r.dialTo(80) }

// dialTo connects a raw client to a port.
func (r *rig) dialTo(port uint16) *peer {
	r.t.Helper()
	nc, err := net.Dial("tcp", r.addr(port))
	switch {
	case errors.Is(err, syscall.ECONNRESET): // it came while the connection was still being made
		near, far := net.Pipe()
		far.Close()
		nc = resetConn{near}
	case err != nil:
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { nc.Close() })
	return newPeer(r.t, nc)
}

// resetConn is a connection that the proxy reset as soon as it was there.
type resetConn struct{ net.Conn }

func (resetConn) Read([]byte) (int, error) { return 0, syscall.ECONNRESET }

// ask sends raw bytes over a connection of its own and returns all that comes
// back until the proxy closes or, with a keep-alive answer, one whole answer.
func (r *rig) ask(request string) string {
	r.t.Helper()
	c := r.dial()
	defer c.nc.Close()
	c.send(request)
	return c.answer(methodOf(request))
}

func methodOf(request string) string {
	method, _, _ := strings.Cut(strings.TrimLeft(request, "\r\n"), " ")
	return method
}

// rule is a Snapshot with one rule on port 80 for all hosts.
func rule(options string, endpoints ...string) string {
	text := "listener 80 http\nhost * 80\nblock test by-specificity\nrule r prefix:/ forward=s:80 " + options + "\nservice s:80 round-robin\n"
	if len(endpoints) == 0 {
		text += "endpoint s:80 none\n"
	}
	for _, e := range endpoints {
		text += "endpoint s:80 " + e + "\n"
	}
	return text
}

// serve starts a rig with one rule and one backend that runs script on each
// connection.
func serve(t *testing.T, options string, script func(*peer)) (*rig, *backend) {
	t.Helper()
	b := newBackend(t, script)
	r := newRig(t, nil)
	r.apply(rule(options, b.addr))
	return r, b
}

// backend is a raw TCP server that runs a script on each connection.
type backend struct {
	addr   string
	l      net.Listener
	script func(*peer)
	wg     sync.WaitGroup

	mu       sync.Mutex
	peers    map[*peer]bool
	killed   bool
	accepted int
	received bytes.Buffer // the first bytes of all connections
	dropped  int          // how many more came
}

func newBackend(t *testing.T, script func(*peer)) *backend {
	t.Helper()
	return newBackendAt(t, "127.0.0.1:0", script)
}

func newBackendAt(t *testing.T, addr string, script func(*peer)) *backend {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{addr: l.Addr().String(), l: l, script: script, peers: map[*peer]bool{}}
	b.wg.Go(func() { b.accept(t) })
	t.Cleanup(b.kill)
	return b
}

func (b *backend) accept(t *testing.T) {
	for {
		nc, err := b.l.Accept()
		if err != nil {
			return
		}
		p := newPeer(t, nc)
		p.record = b
		b.mu.Lock()
		b.accepted++
		b.peers[p] = true
		if b.killed {
			p.reset()
		}
		b.mu.Unlock()
		b.wg.Go(func() {
			defer nc.Close()
			b.script(p)
			b.mu.Lock()
			delete(b.peers, p)
			b.mu.Unlock()
		})
	}
}

// kill closes the listener and resets every connection.
func (b *backend) kill() {
	b.l.Close()
	b.mu.Lock()
	b.killed = true
	for p := range b.peers {
		p.reset()
	}
	b.mu.Unlock()
	b.wg.Wait()
}

func (b *backend) connections() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.accepted
}

// bytes are all that reached the backend.
func (b *backend) bytes() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.received.String()
}

// peer is one end of a connection, as a test speaks on it: a client, or a
// backend.
type peer struct {
	t        *testing.T
	nc       net.Conn
	r        *bufio.Reader
	record   *backend
	wasReset bool // a write was told so, which reads are not told again
}

func newPeer(t *testing.T, nc net.Conn) *peer {
	p := &peer{t: t, nc: nc}
	p.r = bufio.NewReaderSize(p, 64<<10)
	return p
}

// Read records what comes in.
func (p *peer) Read(b []byte) (int, error) {
	n, err := p.nc.Read(b)
	if p.record != nil && n > 0 {
		p.record.mu.Lock()
		if p.record.received.Len() < 1<<20 {
			p.record.received.Write(b[:n])
		} else {
			p.record.dropped += n
		}
		p.record.mu.Unlock()
	}
	return n, err
}

func (p *peer) send(text string) {
	p.nc.SetWriteDeadline(time.Now().Add(patience))
	_, err := io.WriteString(p.nc, text) // a peer that is gone shows in what is read
	p.wasReset = p.wasReset || errors.Is(err, syscall.ECONNRESET)
}

func (p *peer) patient() { p.nc.SetReadDeadline(time.Now().Add(patience)) }

// line reads a line; "" means the end of the stream.
func (p *peer) line() string {
	p.patient()
	line, err := p.r.ReadString('\n')
	if err != nil && os.IsTimeout(err) {
		p.t.Errorf("nothing came; so far %q", line)
	}
	return line
}

// head reads a message head, up to its empty line.
func (p *peer) head() string {
	var b strings.Builder
	for {
		line := p.line()
		b.WriteString(line)
		if line == "\r\n" && b.Len() > 2 || line == "" {
			return b.String()
		}
	}
}

// message reads a request: head, and a body that its fields frame.
func (p *peer) message() string {
	head := p.head()
	return head + p.body(head)
}

func (p *peer) body(head string) string {
	p.patient()
	if strings.EqualFold(fieldOf(head, "Transfer-Encoding"), "chunked") {
		return p.chunks()
	}
	if n, err := strconv.Atoi(fieldOf(head, "Content-Length")); err == nil {
		body := make([]byte, n)
		got, _ := io.ReadFull(p.r, body)
		return string(body[:got])
	}
	return ""
}

// chunks reads a chunked body as it stands, with its trailers.
func (p *peer) chunks() string {
	var b strings.Builder
	for {
		size := p.line()
		b.WriteString(size)
		n, err := strconv.ParseInt(strings.TrimSpace(size), 16, 64)
		if err != nil {
			return b.String()
		}
		if n == 0 {
			for {
				line := p.line()
				b.WriteString(line)
				if line == "\r\n" || line == "" {
					return b.String()
				}
			}
		}
		data := make([]byte, n+2)
		got, _ := io.ReadFull(p.r, data)
		b.Write(data[:got])
	}
}

// answer reads one whole final answer, and the interim ones before it.
func (p *peer) answer(method string) string {
	head := p.head()
	status := statusOf(head)
	if status >= 100 && status < 200 && status != 101 {
		return head + p.answer(method)
	}
	switch {
	case head == "" || status == 101 || status == 204 || status == 304 || method == "HEAD":
		return head
	case fieldOf(head, "Transfer-Encoding") == "" && fieldOf(head, "Content-Length") == "":
		return head + p.rest()
	}
	return head + p.body(head)
}

// rest reads to the end of the stream.
func (p *peer) rest() string {
	p.patient()
	all, err := io.ReadAll(p.r)
	if err != nil && os.IsTimeout(err) {
		p.t.Errorf("the connection stays open after %q", all)
	}
	return string(all)
}

// closed waits for the end of the stream; more bytes are an error.
func (p *peer) closed() {
	p.t.Helper()
	if rest := p.rest(); rest != "" {
		p.t.Errorf("instead of the end there came %q", rest)
	}
}

// reset closes the connection so that the other side sees a reset.
func (p *peer) reset() {
	if tcp, ok := p.nc.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	p.nc.Close()
}

func statusOf(head string) int {
	if len(head) < 12 {
		return 0
	}
	n, _ := strconv.Atoi(head[9:12])
	return n
}

// fieldOf returns the values of a field, joined by a bar.
func fieldOf(head, name string) string {
	var values []string
	for line := range strings.Lines(head) {
		if line == "\r\n" {
			break
		}
		if key, value, found := strings.Cut(line, ":"); found && strings.EqualFold(key, name) {
			values = append(values, strings.TrimSpace(value))
		}
	}
	return strings.Join(values, "|")
}

// added are the fields that the proxy adds to every request; tests of other
// things leave them out.
var added = regexp.MustCompile(`(?m)^(X-Request-ID|X-Forwarded-(For|Host|Port|Proto|Scheme)|X-Real-IP|X-Scheme): .*\r\n`)

// plain leaves out what the proxy adds to every request or answer.
func plain(message string) string {
	message = added.ReplaceAllString(message, "")
	return regexp.MustCompile(`(?m)^(Date|request): .*\n`).ReplaceAllString(message, "")
}

// text answers a request with 200 and a body.
func text(body string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// echo answers every request of a connection with 200 and its own text.
func echo(p *peer) {
	for {
		m := p.message()
		if !strings.Contains(m, "\r\n\r\n") {
			return
		}
		p.send(text(m))
	}
}

// always answers every request with the same bytes.
func always(answer string) func(*peer) {
	return func(p *peer) {
		for p.message() != "" {
			p.send(answer)
		}
	}
}

// get is a request without a body.
func get(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: a.example\r\n\r\n" }

// post is a request with a body.
func post(path, body string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: a.example\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)
}

// lines collects what the access log writes.
type lines struct {
	mu      sync.Mutex
	text    strings.Builder
	changed chan struct{}
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.text.Len() < 1<<20 {
		l.text.Write(b)
	}
	close(l.changed)
	l.changed = make(chan struct{})
	return len(b), nil
}

// wait returns the first line that holds part.
func (l *lines) wait(t *testing.T, part string) string {
	t.Helper()
	deadline := time.After(patience)
	for {
		l.mu.Lock()
		all, changed := l.text.String(), l.changed
		l.mu.Unlock()
		for line := range strings.Lines(all) {
			if strings.Contains(line, part) {
				return line
			}
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("no line of the log holds %q:\n%s", part, all)
		}
	}
}

// eventually waits for a condition that no event announces, such as a counter
// that the runtime keeps.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("in vain: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// signal is closed once by whoever fires it.
type signal struct {
	once sync.Once
	ch   chan struct{}
}

func newSignal() *signal { return &signal{ch: make(chan struct{})} }

func (s *signal) fire() { s.once.Do(func() { close(s.ch) }) }

func (s *signal) wait(t *testing.T, what string) {
	t.Helper()
	select {
	case <-s.ch:
	case <-time.After(patience):
		t.Fatalf("in vain: %s", what)
	}
}

func statusText(status int) string { return strconv.Itoa(status) }

func numberText(n int) string { return strconv.Itoa(n) }
