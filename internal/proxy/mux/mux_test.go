package mux

import (
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/sock"
	"windrose.dev/windrose/internal/proxy/wire/http2"
)

// pair is a connection in memory, with its client and its server side.
type pair struct {
	client, server *Conn
	growth         atomic.Int64
	full           atomic.Bool
	ended          [2]chan error // of the client side, and of the server side
	far            net.Conn      // of the client side
}

// handler implements Server.
type handler func(*Stream)

func (h handler) ServeStream(s *Stream) { h(s) }
func (h handler) Refused(string)        {}
func (h handler) Denied()               {}

func newPair(t *testing.T, serve handler) *pair {
	t.Helper()
	p := &pair{ended: [2]chan error{make(chan error, 1), make(chan error, 1)}}
	cfg := testConfig(p)
	near, far := net.Pipe()
	p.far = far
	clock, pool := sock.NewClock(), &sock.Pool{}
	p.client = NewClient(cfg, sock.NewConn(near, clock, pool, nil), pool, clock, nil)
	p.server = NewServer(cfg, serve, sock.NewConn(far, clock, pool, nil), pool, clock)
	for i, c := range []*Conn{p.client, p.server} {
		go func() {
			p.ended[i] <- c.Run()
			c.sock.Close()
		}()
	}
	t.Cleanup(func() {
		near.Close()
		far.Close()
	})
	return p
}

func testConfig(p *pair) *Config {
	return &Config{
		Limits: msg.Limits{HeadBytes: 8 << 10, TargetBytes: 1 << 10, Fields: 50}, MaxStreams: 10,
		WriteTimeout: 5 * time.Second, Header: 15 * time.Second, Idle: time.Minute, PingTimeout: 10 * time.Second,
		Growth: &p.growth, Full: p.full.Load,
	}
}

func request(method string) (*http2.Request, *msg.Head) {
	h := &msg.Head{}
	h.Add(msg.Host, "Host", []byte("a"))
	return &http2.Request{Method: []byte(method), Scheme: []byte("http"), Target: []byte("/")}, h
}

func answer(s *Stream, status int, body string, last bool) error {
	h := &msg.Head{Status: status}
	return s.Answer(h, []byte(body), last, nil)
}

// ask sends a request with a body and returns the response body.
func ask(t *testing.T, c *Conn, body string) string {
	t.Helper()
	s := c.Open()
	if s == nil {
		t.Fatal("no room")
	}
	defer s.Close()
	r, h := request("POST")
	if _, err := s.Ask(r, h, []byte(body), true, nil); err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for {
		if err := s.Wait(); err != nil {
			t.Fatal(err)
		}
		var head msg.Head
		s.Response(&head)
		data, last := s.Data()
		got.Write(data)
		if s.Took(); last {
			return got.String()
		}
	}
}

// echo responds with the request body once it is complete.
func echo(s *Stream) {
	var body strings.Builder
	for last := false; !last; s.Took() {
		if s.Wait() != nil {
			return
		}
		var data []byte
		data, last = s.Data()
		body.Write(data)
	}
	answer(s, 200, body.String(), true)
}

func TestEcho(t *testing.T) {
	p := newPair(t, echo)
	p.growth.Store(1 << 20)
	var asking sync.WaitGroup
	for i := range 5 {
		asking.Go(func() {
			for n := range 5 {
				body := strings.Repeat(string(rune('a'+i)), n*8_000)
				if got := ask(t, p.client, body); got != body {
					t.Errorf("%d bytes of %d", len(got), len(body))
				}
			}
		})
	}
	asking.Wait()
	if p.growth.Load() != 1<<20 {
		t.Errorf("%d bytes of growth were not given back", 1<<20-p.growth.Load())
	}
}

// Reads and writes fail at their deadlines and when they are interrupted.
func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan bool)
		p := newPair(t, func(*Stream) { <-release })
		s := p.client.Open()
		r, h := request("POST")
		s.Ask(r, h, nil, false, nil)
		clock := p.client.clock
		start := time.Now()
		s.LimitReads(clock.Now(), 3*time.Second)
		if err := s.Wait(); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != 3*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		s.LimitWrites(clock.Now(), 5*time.Second)
		err := s.Write(make([]byte, 1<<20), false, nil) // more than the window
		if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != 8*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		s.LimitReads(clock.Now(), time.Minute)
		go s.Interrupt()
		if err := s.Wait(); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != 8*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		s.Close()
		close(release)
		p.client.Abort()
		<-p.ended[0]
		<-p.ended[1]
	})
}

// A connection without streams ends at the idle timeout. A connection with a stream
// ends when the peer does not acknowledge a PING.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, echo)
		start := time.Now()
		if err := <-p.ended[0]; err == nil {
			t.Error("no reason")
		}
		<-p.ended[1]
		if took := time.Since(start); took < time.Minute || took > 90*time.Second {
			t.Errorf("an idle connection ended after %v", took)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		go func() { // reads everything and sends nothing
			buf := make([]byte, 1024)
			for {
				if _, err := far.Read(buf); err != nil {
					return
				}
			}
		}()
		growth := atomic.Int64{}
		cfg := &Config{
			Limits: msg.Limits{HeadBytes: 8 << 10, TargetBytes: 1 << 10, Fields: 50}, MaxStreams: 10,
			WriteTimeout: time.Minute, Header: 15 * time.Second, Idle: time.Minute, PingTimeout: 10 * time.Second, Growth: &growth,
			Full: func() bool { return false },
		}
		clock, pool := sock.NewClock(), &sock.Pool{}
		left := make(chan bool, 1)
		c := NewClient(cfg, sock.NewConn(near, clock, pool, nil), pool, clock, func() { left <- true })
		ended := make(chan error, 1)
		go func() { ended <- c.Run() }()
		far.Write([]byte{0, 0, 0, 4, 0, 0, 0, 0, 0}) // SETTINGS
		s := c.Open()
		r, h := request("GET")
		s.Ask(r, h, nil, true, nil)
		start := time.Now()
		var gone *Error
		if err := s.Wait(); !errors.As(err, &gone) {
			t.Errorf("%v", err)
		}
		if took := time.Since(start); took < 70*time.Second || took > 90*time.Second {
			t.Errorf("it took %v", took)
		}
		s.Close()
		if err := <-ended; !errors.Is(err, errSilent) {
			t.Error(err)
		}
		<-left
		near.Close()
	})
}

// A server that leaves lets its streams end and accepts no more; the client is told.
func TestLeaving(t *testing.T) {
	began, release := make(chan bool, 1), make(chan bool)
	p := newPair(t, func(s *Stream) {
		began <- true
		<-release
		answer(s, 200, "done", true)
	})
	answered := make(chan string, 1)
	go func() { answered <- ask(t, p.client, "x") }()
	<-began
	p.server.Leave(true)
	close(release)
	if got := <-answered; got != "done" {
		t.Errorf("%q", got)
	}
	<-p.ended[0]
	<-p.ended[1]
	if p.client.Open() != nil {
		t.Error("a stream on a connection that is over")
	}
}

// When a connection breaks, the streams of both sides get an error.
func TestBrokenConnection(t *testing.T) {
	began, told := make(chan bool, 1), make(chan error, 1)
	p := newPair(t, func(s *Stream) {
		began <- true
		told <- s.Wait()
	})
	s := p.client.Open()
	defer s.Close()
	r, h := request("POST")
	s.Ask(r, h, nil, false, nil)
	<-began
	p.far.Close()
	if err := s.Wait(); err == nil || !s.Gone() {
		t.Error(err)
	}
	if err := <-told; err == nil {
		t.Error("the server's stream goes on")
	}
}

// The memory for bodies is bounded, whatever the flow control windows allow.
func TestFull(t *testing.T) {
	began, release := make(chan bool, 1), make(chan bool)
	p := newPair(t, func(*Stream) {
		began <- true
		<-release
	})
	defer close(release)
	s := p.client.Open()
	defer s.Close()
	r, h := request("POST")
	s.Ask(r, h, nil, false, nil)
	<-began
	p.full.Store(true)
	s.Write([]byte("x"), false, nil)
	var reset *Error
	if err := s.Wait(); !errors.As(err, &reset) || reset.Code != http2.EnhanceYourCalm {
		t.Error(err)
	}
	another := p.client.Open()
	defer another.Close()
	another.Ask(r, h, nil, true, nil)
	if err := another.Wait(); !errors.As(err, &reset) || reset.Code != http2.RefusedStream {
		t.Error(err)
	}
}
