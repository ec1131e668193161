package mux

import (
	"bytes"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	xhttp2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/sock"
	"windrose.dev/windrose/internal/proxy/wire/http2"
)

// rawClient writes frames to a server, and does not interpret the responses.
type rawClient struct {
	*xhttp2.Framer
	net.Conn
	ended chan error
}

// newRaw connects to a server over the other end of a pair's socket.
func newRaw(t *testing.T, serve handler) *rawClient {
	t.Helper()
	near, far := net.Pipe()
	p := &pair{}
	cfg, clock, pool := testConfig(p), sock.NewClock(), &sock.Pool{}
	server := NewServer(cfg, serve, sock.NewConn(far, clock, pool, nil), pool, clock)
	c := &rawClient{xhttp2.NewFramer(near, near), near, make(chan error, 1)}
	go func() {
		err := server.Run()
		far.Close()
		c.ended <- err
	}()
	go io.Copy(io.Discard, near)
	io.WriteString(near, http2.Preface)
	return c
}

// head returns a header block.
func head(fields ...string) []byte {
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for i := 0; i < len(fields); i += 2 {
		enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return block.Bytes()
}

func post(length string) []byte {
	return head(":method", "POST", ":scheme", "http", ":authority", "a", ":path", "/", "content-length", length)
}

func (c *rawClient) open(id uint32, length string) {
	c.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: id, EndHeaders: true, BlockFragment: post(length)})
}

// If a stream is given up in the middle of a frame, the rest of that frame does not
// become the body of the next request that uses the Stream.
func TestRestOfAGivenUpStream(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // Get returns what was Put
	for _, what := range []string{"DATA", "trailers"} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				bodies := make(chan string, 2)
				c := newRaw(t, func(s *Stream) {
					var h msg.Head
					if s.Request(&h); s.codec.ID == 1 {
						answer(s, 404, "", true)
						return
					}
					var body strings.Builder
					for last := false; !last && s.Wait() == nil; s.Took() {
						var data []byte
						data, last = s.Data()
						body.Write(data)
					}
					bodies <- body.String() + string(s.Trailer())
				})
				defer c.Close()
				c.WriteSettings()
				c.open(1, "1000")
				trailer := head("x-trailer", "of the first")
				if what == "DATA" {
					c.WriteRawHead(1, 1000, xhttp2.FrameData)
					io.WriteString(c.Conn, strings.Repeat("a", 400))
				} else {
					c.WriteData(1, false, []byte(strings.Repeat("a", 1000)))
					c.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, EndStream: true, BlockFragment: trailer[:3]})
				}
				synctest.Wait() // until the stream has its response and is recycled
				if what == "DATA" {
					io.WriteString(c.Conn, strings.Repeat("a", 600))
				} else {
					c.WriteContinuation(1, true, trailer[3:])
				}
				c.open(3, "2")
				c.WriteData(3, true, []byte("ok"))
				if got := <-bodies; got != "ok" {
					t.Errorf("the second request's body is %q", got)
				}
			})
		})
	}
}

// WriteRawHead writes a frame header without a payload.
func (c *rawClient) WriteRawHead(id uint32, length int, kind xhttp2.FrameType) {
	c.Conn.Write([]byte{byte(length >> 16), byte(length >> 8), byte(length), byte(kind), 0, 0, 0, 0, byte(id)})
}

// A client that sends an incomplete frame or header section is closed after the header
// timeout. A client without requests is closed after the idle timeout, whatever else it
// sends.
func TestSlowClients(t *testing.T) {
	tests := []struct {
		name string
		// begin is called first, and again every second.
		begin func(c *rawClient)
		again func(c *rawClient)
		want  error
		after time.Duration
	}{
		{"no settings", func(*rawClient) {}, nil, ErrSlow, 15 * time.Second},
		{
			"a frame by the byte",
			func(c *rawClient) { c.WriteSettings(); c.WriteRawHead(1, 1000, xhttp2.FrameHeaders) },
			func(c *rawClient) { c.Conn.Write([]byte{0}) },
			ErrSlow, 15 * time.Second,
		},
		{
			"a head that does not end",
			func(c *rawClient) {
				c.WriteSettings()
				c.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: post("1")})
			},
			func(c *rawClient) { c.WriteContinuation(1, false, head("x", "y")) },
			ErrSlow, 15 * time.Second,
		},
		{"PINGs alone", (*rawClient).settle, func(c *rawClient) { c.WritePing(false, [8]byte{}) }, errIdle, time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newRaw(t, func(*Stream) {})
				start := time.Now()
				tt.begin(c)
				stop := make(chan bool)
				go func() {
					for tick := time.NewTicker(time.Second); tt.again != nil; {
						select {
						case <-stop:
							return
						case <-tick.C:
							tt.again(c)
						}
					}
				}()
				if err := <-c.ended; !errors.Is(err, tt.want) {
					t.Errorf("it ended with %v", err)
				}
				if took := time.Since(start); took < tt.after || took > tt.after*5/4 {
					t.Errorf("it took %v", took)
				}
				close(stop)
				c.Close()
			})
		})
	}
}

func (c *rawClient) settle() { c.WriteSettings() }

// A stream that Open has returned can still be used if the connection is told to leave
// before the stream begins.
func TestReservedStreamsBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, echo)
		s := p.client.Open()
		p.client.Leave(true)
		synctest.Wait()
		r, h := request("POST")
		if _, err := s.Ask(r, h, []byte("late"), true, nil); err != nil {
			t.Fatal(err)
		}
		if err := s.Wait(); err != nil {
			t.Error(err)
		}
		if p.client.Open() != nil {
			t.Error("a connection that is left takes another stream")
		}
		s.Close()
		if err := <-p.ended[0]; err != io.EOF {
			t.Error(err)
		}
	})
}

// Settled fails when the connection ends or the stream is interrupted.
func TestSettledEnds(t *testing.T) {
	for name, end := range map[string]func(*Stream, net.Conn){
		"the connection ends": func(_ *Stream, far net.Conn) { far.Close() },
		"interrupted":         func(s *Stream, _ net.Conn) { s.Interrupt() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				defer near.Close()
				defer far.Close()
				go io.Copy(io.Discard, far)
				cfg, clock, pool := testConfig(&pair{}), sock.NewClock(), &sock.Pool{}
				c := NewClient(cfg, sock.NewConn(near, clock, pool, nil), pool, clock, nil)
				go c.Run()
				s := c.Open()
				waited := make(chan error, 1)
				go func() { waited <- s.Settled() }()
				synctest.Wait()
				if end(s, far); <-waited == nil {
					t.Error("it counts as settled")
				}
				s.Close()
			})
		})
	}
}

// If a client sends requests and does not read the responses, the header sections that
// are buffered for it are bounded by maxOut, whatever the number of requests.
func TestUnreadHeads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer near.Close()
		cfg, clock, pool := testConfig(&pair{}), sock.NewClock(), &sock.Pool{}
		long := strings.Repeat("x", 4<<10)
		server := NewServer(cfg, handler(func(s *Stream) {
			h := &msg.Head{Status: 204}
			h.SetName("x-long", []byte(long))
			s.Answer(h, nil, true, nil)
		}), sock.NewConn(far, clock, pool, nil), pool, clock)
		ended := make(chan error)
		go func() { ended <- server.Run() }()
		io.WriteString(near, http2.Preface)
		c := &rawClient{Framer: xhttp2.NewFramer(near, near), Conn: near}
		c.WriteSettings()
		for id := uint32(1); id < 200; id += 2 {
			c.open(id, "0")
			synctest.Wait()
		}
		server.mu.Lock()
		pending := server.codec.Pending()
		server.mu.Unlock()
		if pending > maxOut+len(long)+8<<10 {
			t.Errorf("%d bytes wait to be read", pending)
		}
		far.Close()
		<-ended
	})
}

// A window update is used at once by a stream that waits for it, even if other streams
// wait for another window.
func TestNoWindowStaysOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer near.Close()
		cfg, clock, pool := testConfig(&pair{}), sock.NewClock(), &sock.Pool{}
		body := strings.Repeat("x", 50_000)
		server := NewServer(cfg, handler(func(s *Stream) { answer(s, 200, body, true) }),
			sock.NewConn(far, clock, pool, nil), pool, clock)
		ended := make(chan error)
		go func() { ended <- server.Run() }()
		io.WriteString(near, http2.Preface)
		c := &rawClient{Framer: xhttp2.NewFramer(near, near), Conn: near}
		got := 0
		go func() {
			for {
				f, err := c.ReadFrame()
				if err != nil {
					return
				}
				if data, is := f.(*xhttp2.DataFrame); is {
					got += len(data.Data())
				}
			}
		}()
		room := 0
		came := func(what string, want int) {
			t.Helper()
			if synctest.Wait(); got != want {
				t.Fatalf("%s: %d bytes came of %d", what, got, want)
			}
		}
		c.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 100})
		for id := uint32(1); id < 20; id += 2 {
			c.open(id, "0")
			room += 100
		}
		came("little windows", room)
		c.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 40_000})
		room = firstWindow
		came("larger windows", room)
		for range 50 {
			c.WriteWindowUpdate(0, 1)
			room++
			came("a byte", room)
		}
		for room < 400_000 {
			c.WriteWindowUpdate(0, 10_000)
			room = min(room+10_000, 400_000)
			came("the connection's", room)
		}
		c.WriteWindowUpdate(0, 1<<20)
		for id := uint32(1); id < 20; id += 2 {
			c.WriteWindowUpdate(id, 10_000)
			room += 10_000
			came("the streams'", room)
		}
		far.Close()
		<-ended
	})
}

// If a client with an open stream does not acknowledge a PING, its connection ends.
func TestSilentClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		given := make(chan error, 1)
		c := newRaw(t, func(s *Stream) { given <- s.Wait() })
		c.WriteSettings()
		c.open(1, "1")
		start := time.Now()
		if err := <-c.ended; !errors.Is(err, errSilent) {
			t.Errorf("it ended with %v", err)
		}
		if took := time.Since(start); took < 70*time.Second || took > 90*time.Second {
			t.Errorf("it took %v", took)
		}
		if err := <-given; err == nil {
			t.Error("its stream was not told")
		}
		c.Close()
	})
}
